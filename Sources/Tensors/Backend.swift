import Basics

/// The operations that models are written in, on one device.
///
/// Activations are Float32 `[rows, width]`. Every result is a new tensor from the backend's pool. Operations
/// may run after the call returns, in call order; ``read(_:)`` and
/// ``logProbabilities(_:_:)`` wait. An output row depends on its own input row (and its own sequence's cache)
/// alone: the reduction order never depends on what else is in the batch.
public protocol Backend: AnyObject, Sendable {
  var device: DeviceDescription { get }
  /// Bytes that could still be allocated, as far as the device tells.
  var freeMemoryBytes: Int { get }
  /// What of this device's arithmetic changes the bits of such work, beyond what any device of the backend does: tensor
  /// cores, and launch parameters that differ from those that every device starts with. In words; nil where there is
  /// nothing. Work that is to go on to the same bits keeps it with its settings.
  func bitChangingParameters(of work: Workload) throws -> String?

  // MARK: Memory

  /// An uninitialised tensor; throws `outOfMemory` where the device has no room.
  func allocate(_ shape: Shape, _ dtype: DType) throws -> Tensor
  /// A Float32 tensor holding `values`.
  func upload(_ values: [Float], shape: Shape) throws -> Tensor
  /// The elements, rows packed, after all work on them is done.
  func read(_ tensor: Tensor) throws -> [Float]
  /// Waits for all work; throws what the device reports.
  func synchronize() throws

  // MARK: Weights

  /// A norm weight or bias as Float32 `[width]`; several are joined end to end.
  func loadVector(_ parts: [WeightSource]) throws -> Tensor
  /// A matrix `[Σ out, in]`, parts stacked along the output.
  func loadMatrix(_ parts: [WeightSource], compute: ComputeMode) throws -> any MatrixWeight
  /// A table for ``embedding(_:_:)``.
  func loadTable(_ source: WeightSource) throws -> any EmbeddingTable

  // MARK: Batches

  /// The element type of keys and values that suits a mode: Float32 for `f32`, else one of two bytes.
  func cacheType(_ compute: ComputeMode, headDim: Int) -> CacheType
  /// Throws `unsupported`, with a remedy, where caches of this type cannot be had.
  func checkCache(_ type: CacheType, headDim: Int) throws
  func makeKVCache(_ spec: KVCacheSpec) throws -> any KVCache
  func prepare(_ batch: BatchMetadata) throws -> any PreparedBatch

  // MARK: Operations (descriptions in Operations/)

  /// Rows of the table for the batch's token ids: `[rows, width]`.
  func embedding(_ table: any EmbeddingTable, _ batch: any PreparedBatch) throws -> Tensor
  /// `x Wᵀ + bias`: `[rows, in] → [rows, out]`.
  func matmul(_ x: Tensor, _ weight: any MatrixWeight, bias: Tensor?) throws -> Tensor
  /// `x / √(mean(x²) + ε) · weight`, row by row.
  func rmsNorm(_ x: Tensor, weight: Tensor, epsilon: Float) throws -> Tensor
  /// `a + b`, and its ``rmsNorm(_:weight:epsilon:)``: by default the single operations, to whose bits every backend
  /// keeps.
  func addRMSNorm(_ a: Tensor, _ b: Tensor, weight: Tensor, epsilon: Float) throws -> (
    sum: Tensor, normed: Tensor
  )
  /// `(x − mean) / √(variance + ε) · weight + bias`, row by row.
  func layerNorm(_ x: Tensor, weight: Tensor, bias: Tensor, epsilon: Float) throws -> Tensor
  /// Rotary position embedding of `[rows, heads · headDim]` at the batch's positions.
  func rope(_ x: Tensor, _ spec: RoPE, _ batch: any PreparedBatch) throws -> Tensor
  /// Writes the batch's keys and values `[rows, kvHeads · headDim]` into their cache slots.
  func storeKV(
    key: Tensor, value: Tensor, layer: Int, cache: any KVCache, _ batch: any PreparedBatch) throws
  /// Causal grouped-query attention of `[rows, heads · headDim]` over each row's own sequence in the cache.
  func attention(
    _ query: Tensor, heads: Int, scale: Float, layer: Int, cache: any KVCache, _ batch: any PreparedBatch
  ) throws -> Tensor
  /// `silu(gate) · up`, element by element.
  func siluMul(gate: Tensor, up: Tensor) throws -> Tensor
  /// GELU with the error function (`.exact`) or its tanh approximation.
  func gelu(_ x: Tensor, _ form: GELU.Form) throws -> Tensor
  /// Hyperbolic tangent of every element.
  func tanh(_ x: Tensor) throws -> Tensor
  func add(_ a: Tensor, _ b: Tensor) throws -> Tensor
  /// Softmax of every row.
  func softmax(_ x: Tensor) throws -> Tensor
  /// The given rows, packed: `[indices.count, width]`.
  func gatherRows(_ x: Tensor, _ indices: [Int32]) throws -> Tensor
  /// Reads back the asked part of each row's log-softmax, never the whole row.
  func logProbabilities(_ logits: Tensor, _ requests: [LogProbabilityRequest]) throws -> [LogProbabilityRow]
  /// For `.gumbel` sampling without truncation: per row the id maximising logit/temperature + Gumbel noise,
  /// where the noise of id i is drawn from Philox with the row's key and counter (i, position). A row's mask, where
  /// it has one, leaves only allowed ids; `allowed` is empty or has one entry a row.
  func gumbelArgmax(
    _ logits: Tensor, temperatures: [Float], keys: [UInt64], positions: [UInt64], allowed: [AllowedTokens?]
  ) throws -> [Int32]

  // MARK: Encoders: packed sequences, no cache

  func prepare(_ batch: PackedBatch) throws -> any PreparedPackedBatch
  /// Token row + position row + segment row: `[rows, width]`.
  func embeddingSum(
    words: any EmbeddingTable, positions: any EmbeddingTable, types: (any EmbeddingTable)?,
    _ batch: any PreparedPackedBatch
  ) throws -> Tensor
  /// `softmax(scale · q kᵀ) v` within each sequence, `[rows, heads · headDim]` and for key and value `[rows, kvHeads
  /// · headDim]`; where `causal`, a row reads only rows up to itself. `.bf16` lets products round their operands
  /// where that is faster.
  func encoderAttention(
    query: Tensor, key: Tensor, value: Tensor, heads: Int, scale: Float, causal: Bool, precision: DType,
    wantsLogSumExp: Bool,
    _ batch: any PreparedPackedBatch
  ) throws -> EncoderAttention.Output
  /// As ``encoderAttention(query:key:value:heads:scale:precision:wantsLogSumExp:_:)`` in Float32 with one query a
  /// sequence, `[sequences, heads · headDim]`, which is the output's shape too.
  func firstRowAttention(
    query: Tensor, key: Tensor, value: Tensor, heads: Int, scale: Float, _ batch: any PreparedPackedBatch
  ) throws -> Tensor
  /// `norm(h + gelu(h Wup) Wdown)` with `h = norm(x + attended Wo)`: the rest of an encoder layer after attention,
  /// `[rows, width]`. By default the single operations one after another.
  func encoderLayerOutput(_ hidden: Tensor, attended: Tensor, _ weights: EncoderLayerOutput.Weights) throws
    -> Tensor
  /// The mean of each sequence's rows: `[sequences, width]`. Its first row (the [CLS] token's) is a
  /// ``gatherRows(_:_:)`` at ``PackedBatch/starts``.
  func meanPool(_ x: Tensor, _ batch: any PreparedPackedBatch) throws -> Tensor
  /// `x / max(‖x‖, ε)`, row by row.
  func l2Normalize(_ x: Tensor, epsilon: Float) throws -> Tensor

  /// Where set, every operation reports its description and duration.
  var profiler: Profiler? { get set }
}

/// What a backend runs on.
public struct DeviceDescription: Sendable, Hashable {
  public enum Kind: String, Sendable { case cpu, gpu, accelerator }
  public let backend: String
  public let name: String
  public let kind: Kind
  /// Bytes of device memory that may be used in all.
  public let memoryBytes: Int
  public let computeUnits: Int

  public init(backend: String, name: String, kind: Kind, memoryBytes: Int, computeUnits: Int) {
    self.backend = backend
    self.name = name
    self.kind = kind
    self.memoryBytes = memoryBytes
    self.computeUnits = computeUnits
  }
}

extension Backend {
  public func bitChangingParameters(of work: Workload) throws -> String? { nil }
  public func checkCache(_ type: CacheType, headDim: Int) throws {}
  public func cacheType(_ compute: ComputeMode, headDim: Int) -> CacheType { compute == .f32 ? .f32 : .f16 }
}

extension Backend {
  /// As the function with masks, each row choosing from the whole vocabulary.
  public func gumbelArgmax(_ logits: Tensor, temperatures: [Float], keys: [UInt64], positions: [UInt64])
    throws
    -> [Int32]
  {
    try gumbelArgmax(logits, temperatures: temperatures, keys: keys, positions: positions, allowed: [])
  }
}
