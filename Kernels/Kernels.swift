/// The OpenCL C sources, embedded in the binary.
public enum KernelSource: String, Sendable, CaseIterable {
  // Shared by others.
  case blockFormats, lanes, vectorMath, panelFormats
  // One shape for CPU-class and GPU-class devices, by macros.
  case add, embedding, gatherRows, gelu, gumbelArgmax, layerNorm, logProbabilities, rmsNorm, rope, siluMul
  case softmax, tanh, topK
  case embeddingSum, encoderAttention, l2Normalize, meanPool
  // Training, one shape for both classes.
  case adamW, columnSums, dropout, geluGradient, l2NormalizeGradient, layerNormGradient, meanPoolGradient
  case ordinalLogits, rmsNormGradient, rowDots, scale, scaleColumns, scaleGroups, scatterAddRows
  case sigmoidCrossEntropy, siluMulGradient, softmaxDivergence, softmaxGradient, sumOfSquares, tanhGradient
  // Training's products on CPU-class and GPU-class devices.
  case productPanels, productTiled
  // CPU-class devices.
  case attentionLanes, matmulPanels, packPanels
  // GPU-class devices.
  case attention, encoderAttentionGradient, matmulTiled

  /// The file's text.
  public var text: String { String(decoding: bytes, as: UTF8.self) }

  private var bytes: [UInt8] {
    switch self {
    case .blockFormats: PackageResources.block_formats_opencl
    case .lanes: PackageResources.lanes_opencl
    case .vectorMath: PackageResources.vector_math_opencl
    case .panelFormats: PackageResources.panel_formats_opencl
    case .add: PackageResources.add_opencl
    case .embedding: PackageResources.embedding_opencl
    case .gatherRows: PackageResources.gather_rows_opencl
    case .gelu: PackageResources.gelu_opencl
    case .gumbelArgmax: PackageResources.gumbel_argmax_opencl
    case .layerNorm: PackageResources.layer_norm_opencl
    case .logProbabilities: PackageResources.log_probabilities_opencl
    case .rmsNorm: PackageResources.rms_norm_opencl
    case .rope: PackageResources.rope_opencl
    case .siluMul: PackageResources.silu_mul_opencl
    case .softmax: PackageResources.softmax_opencl
    case .tanh: PackageResources.tanh_opencl
    case .topK: PackageResources.top_k_opencl
    case .embeddingSum: PackageResources.embedding_sum_opencl
    case .encoderAttention: PackageResources.encoder_attention_opencl
    case .l2Normalize: PackageResources.l2_normalize_opencl
    case .meanPool: PackageResources.mean_pool_opencl
    case .attentionLanes: PackageResources.attention_lanes_opencl
    case .matmulPanels: PackageResources.matmul_panels_opencl
    case .packPanels: PackageResources.pack_panels_opencl
    case .attention: PackageResources.attention_opencl
    case .encoderAttentionGradient: PackageResources.encoder_attention_gradient_opencl
    case .matmulTiled: PackageResources.matmul_tiled_opencl
    default: trainingBytes
    }
  }

  private var trainingBytes: [UInt8] {
    switch self {
    case .adamW: PackageResources.adamw_opencl
    case .columnSums: PackageResources.column_sums_opencl
    case .dropout: PackageResources.dropout_opencl
    case .geluGradient: PackageResources.gelu_gradient_opencl
    case .l2NormalizeGradient: PackageResources.l2_normalize_gradient_opencl
    case .layerNormGradient: PackageResources.layer_norm_gradient_opencl
    case .meanPoolGradient: PackageResources.mean_pool_gradient_opencl
    case .ordinalLogits: PackageResources.ordinal_logits_opencl
    case .productPanels: PackageResources.product_panels_opencl
    case .productTiled: PackageResources.product_tiled_opencl
    case .rmsNormGradient: PackageResources.rms_norm_gradient_opencl
    case .rowDots: PackageResources.row_dots_opencl
    case .scale: PackageResources.scale_opencl
    case .scaleColumns: PackageResources.scale_columns_opencl
    case .scaleGroups: PackageResources.scale_groups_opencl
    case .scatterAddRows: PackageResources.scatter_add_rows_opencl
    case .sigmoidCrossEntropy: PackageResources.sigmoid_cross_entropy_opencl
    case .siluMulGradient: PackageResources.silu_mul_gradient_opencl
    case .softmaxDivergence: PackageResources.softmax_divergence_opencl
    case .softmaxGradient: PackageResources.softmax_gradient_opencl
    case .sumOfSquares: PackageResources.sum_of_squares_opencl
    case .tanhGradient: PackageResources.tanh_gradient_opencl
    default: []
    }
  }
}
