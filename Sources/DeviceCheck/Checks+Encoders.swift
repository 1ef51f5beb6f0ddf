import Basics
import Tensors

extension DeviceCheck {
  private static let lengths = [5, 64, 1, 130, 33]

  static func packed() throws -> PackedBatch {
    try PackedBatch(
      tokenIDs: lengths.enumerated().map { CheckNoise.ids(UInt64($0), $1, below: 200) },
      typeIDs: lengths.map { length in (0..<length).map { $0 < length / 2 ? 0 : 1 } })
  }

  static var packedRows: Int { lengths.reduce(0, +) }

  /// Attention within packed sequences, pooling and the embeddings of encoders.
  static var encoders: [CheckCase] {
    var cases: [CheckCase] = []
    for precision in [DType.f32, .bf16] {
      for causal in [false, true] {
        for (heads, kvHeads, headDim) in [(12, 12, 32), (4, 2, 64)] {
          cases.append(encoderAttention(precision, causal, heads, kvHeads, headDim))
        }
      }
    }
    cases.append(
      CheckCase(operation: FirstRowAttention.name, detail: "5 sequences", tolerance: CheckCase.fine) {
        backend in
        let y = try backend.firstRowAttention(
          query: backend.noise(1, [5, 384]), key: backend.noise(2, [packedRows, 384]),
          value: backend.noise(3, [packedRows, 384]), heads: 12, scale: 0.4, backend.prepare(packed()))
        return [try backend.checked(y)]
      })
    cases.append(
      CheckCase(operation: MeanPool.name, detail: "5 sequences", tolerance: CheckCase.fine) { backend in
        [
          try backend.checked(
            backend.meanPool(backend.noise(1, [packedRows, 384]), backend.prepare(packed())))
        ]
      })
    cases.append(
      CheckCase(operation: EmbeddingSum.name, detail: "bf16", tolerance: CheckCase.fine) { backend in
        let tables = try [(200, 1), (130, 2), (2, 3)].map { rows, seed in
          try backend.loadTable(
            .random("check", [rows, 384], .bf16, RandomWeights(seed: UInt64(seed), deviation: 1)))
        }
        let y = try backend.embeddingSum(
          words: tables[0], positions: tables[1], types: tables[2], backend.prepare(packed()))
        return [try backend.checked(y)]
      })
    return cases
  }

  private static func encoderAttention(
    _ precision: DType, _ causal: Bool, _ heads: Int, _ kvHeads: Int, _ headDim: Int
  ) -> CheckCase {
    CheckCase(
      operation: EncoderAttention.name,
      detail:
        "\(precision.rawValue), \(heads) heads over \(kvHeads) of \(headDim)\(causal ? ", causal" : "")",
      tolerance: precision == .f32 ? CheckCase.fine : CheckCase.coarse
    ) { backend in
      let result = try backend.encoderAttention(
        query: backend.noise(1, [packedRows, heads * headDim]),
        key: backend.noise(2, [packedRows, kvHeads * headDim]),
        value: backend.noise(3, [packedRows, kvHeads * headDim]), heads: heads,
        scale: 3 / Float(headDim).squareRoot(), causal: causal, precision: precision, wantsLogSumExp: true,
        backend.prepare(packed()))
      return try [result.output, result.logSumExp].compactMap { try $0.map(backend.checked) }
    }
  }
}
