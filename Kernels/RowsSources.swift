// One shape for CPU-class and GPU-class devices, by macros.
extension KernelSource {
  private static var rowPieces: [KernelSource] { [.lanes, .vectorMath] }

  public static let adamW = KernelSource("adamw", PackageResources.adamw_opencl, after: rowPieces)
  public static let add = KernelSource("add", PackageResources.add_opencl, after: rowPieces)
  public static let addRMSNorm = KernelSource(
    "add_rms_norm", PackageResources.add_rms_norm_opencl, after: rowPieces)
  public static let columnSums = KernelSource(
    "column_sums", PackageResources.column_sums_opencl, after: rowPieces)
  public static let dropout = KernelSource(
    "dropout", PackageResources.dropout_opencl, after: rowPieces + [.dropoutDraws])
  public static let embedding = KernelSource(
    "embedding", PackageResources.embedding_opencl, after: [.blockFormats])
  public static let embeddingSum = KernelSource(
    "embedding_sum", PackageResources.embedding_sum_opencl, after: [.blockFormats])
  public static let encoderAttention = KernelSource(
    "encoder_attention", PackageResources.encoder_attention_opencl, after: rowPieces)
  public static let gatherRows = KernelSource(
    "gather_rows", PackageResources.gather_rows_opencl, after: rowPieces)
  public static let gelu = KernelSource("gelu", PackageResources.gelu_opencl, after: rowPieces)
  public static let geluGradient = KernelSource(
    "gelu_gradient", PackageResources.gelu_gradient_opencl, after: rowPieces)
  public static let gumbelArgmax = KernelSource(
    "gumbel_argmax", PackageResources.gumbel_argmax_opencl, after: rowPieces)
  public static let l2Normalize = KernelSource(
    "l2_normalize", PackageResources.l2_normalize_opencl, after: rowPieces)
  public static let l2NormalizeGradient = KernelSource(
    "l2_normalize_gradient", PackageResources.l2_normalize_gradient_opencl, after: rowPieces)
  public static let layerNorm = KernelSource(
    "layer_norm", PackageResources.layer_norm_opencl, after: rowPieces)
  public static let layerNormGradient = KernelSource(
    "layer_norm_gradient", PackageResources.layer_norm_gradient_opencl, after: rowPieces)
  public static let logProbabilities = KernelSource(
    "log_probabilities", PackageResources.log_probabilities_opencl, after: rowPieces)
  public static let meanPool = KernelSource("mean_pool", PackageResources.mean_pool_opencl, after: rowPieces)
  public static let meanPoolGradient = KernelSource(
    "mean_pool_gradient", PackageResources.mean_pool_gradient_opencl, after: rowPieces)
  public static let ordinalLogits = KernelSource("ordinal_logits", PackageResources.ordinal_logits_opencl)
  public static let randomWeights = KernelSource("random_weights", PackageResources.random_weights_opencl)
  public static let residualNorm = KernelSource(
    "residual_norm", PackageResources.residual_norm_opencl, after: rowPieces + [.dropoutDraws])
  public static let residualNormGradient = KernelSource(
    "residual_norm_gradient", PackageResources.residual_norm_gradient_opencl,
    after: rowPieces + [.dropoutDraws])
  public static let rmsNorm = KernelSource("rms_norm", PackageResources.rms_norm_opencl, after: rowPieces)
  public static let rmsNormGradient = KernelSource(
    "rms_norm_gradient", PackageResources.rms_norm_gradient_opencl, after: rowPieces)
  public static let rope = KernelSource("rope", PackageResources.rope_opencl, after: rowPieces)
  public static let rowDots = KernelSource("row_dots", PackageResources.row_dots_opencl, after: rowPieces)
  public static let scale = KernelSource("scale", PackageResources.scale_opencl, after: rowPieces)
  public static let scaleColumns = KernelSource(
    "scale_columns", PackageResources.scale_columns_opencl, after: rowPieces)
  public static let scaleGroups = KernelSource(
    "scale_groups", PackageResources.scale_groups_opencl, after: rowPieces)
  public static let scatterAddRows = KernelSource(
    "scatter_add_rows", PackageResources.scatter_add_rows_opencl, after: rowPieces)
  public static let sigmoidCrossEntropy = KernelSource(
    "sigmoid_cross_entropy", PackageResources.sigmoid_cross_entropy_opencl)
  public static let siluMul = KernelSource("silu_mul", PackageResources.silu_mul_opencl, after: rowPieces)
  public static let siluMulGradient = KernelSource(
    "silu_mul_gradient", PackageResources.silu_mul_gradient_opencl, after: rowPieces)
  public static let softmax = KernelSource("softmax", PackageResources.softmax_opencl, after: rowPieces)
  public static let softmaxDivergence = KernelSource(
    "softmax_divergence", PackageResources.softmax_divergence_opencl)
  public static let softmaxGradient = KernelSource(
    "softmax_gradient", PackageResources.softmax_gradient_opencl, after: rowPieces)
  public static let sumOfSquares = KernelSource(
    "sum_of_squares", PackageResources.sum_of_squares_opencl, after: rowPieces)
  public static let tanh = KernelSource("tanh", PackageResources.tanh_opencl, after: rowPieces)
  public static let tanhGradient = KernelSource(
    "tanh_gradient", PackageResources.tanh_gradient_opencl, after: rowPieces)
  public static let topK = KernelSource("top_k", PackageResources.top_k_opencl, after: rowPieces)
}
