import Basics
import Tensors

extension DeviceCheck {
  private static let types: [DType] = [
    .f32, .f16, .bf16, .q4_0, .q4_1, .q5_0, .q5_1, .q8_0, .q4_K, .q5_K, .q6_K,
  ]

  /// Products with stored weights, and of two changing matrices.
  static var products: [CheckCase] {
    var cases: [CheckCase] = []
    for dtype in types {
      for mode in [ComputeMode.f32, .bf16, .lean] {
        for rows in [1, 3, 8, 33, 130] { cases.append(matmul(dtype, mode, rows: rows, in: 512, out: 200)) }
      }
    }
    for dtype in [DType.bf16, .q4_K, .q8_0] {
      cases.append(matmul(dtype, .lean, rows: 1, in: 4096, out: 1031))
      cases.append(matmul(dtype, .lean, rows: 300, in: 2048, out: 515))
    }
    cases.append(matmul(.bf16, .lean, rows: 5, in: 131, out: 37))
    // From one to several groups of terms and rounds, in each kernel.
    for (rows, width, out) in [(1, 4096, 1031), (16, 131, 37), (33, 512, 200), (300, 2048, 515)] {
      cases.append(matmul(.bf16, .int8, rows: rows, in: width, out: out))
    }
    cases += [
      (DType.bf16, ComputeMode.lean), (.q4_K, .lean), (.q6_K, .bf16), (.f16, .f32), (.bf16, .int8),
    ].map(matmulRows)
    for precision in [DType.f32, .bf16] {
      for (a, b) in [(false, false), (false, true), (true, false), (true, true)] {
        cases.append(product(precision, a, b))
      }
    }
    return cases
  }

  private static func weight(_ dtype: DType, _ out: Int, _ width: Int) throws -> WeightSource {
    try .random(
      "check", [out, width], dtype, RandomWeights(seed: UInt64(out), deviation: 1 / Float(width).squareRoot())
    )
  }

  private static func matmul(_ dtype: DType, _ mode: ComputeMode, rows: Int, in width: Int, out: Int)
    -> CheckCase
  {
    CheckCase(
      operation: MatMul.name, detail: "\(dtype.rawValue), \(mode.rawValue), \(rows) × \(width) × \(out)",
      tolerance: mode == .f32 ? CheckCase.fine : CheckCase.coarse
    ) { backend in
      let matrix = try backend.loadMatrix([weight(dtype, out, width)], compute: mode)
      let y = try backend.matmul(
        backend.noise(UInt64(rows), [rows, width]), matrix, bias: backend.noise(7, [out]))
      return [try backend.checked(y)]
    }
  }

  /// A row has the same bits alone and among others.
  private static func matmulRows(_ dtype: DType, _ mode: ComputeMode) -> CheckCase {
    invariance(MatMul.name, "\(dtype.rawValue), \(mode.rawValue)", rows: 130) { backend, rows in
      let matrix = try backend.loadMatrix([weight(dtype, 200, 512)], compute: mode)
      return try backend.matmul(backend.noise(3, [130, 512]).rows(rows), matrix, bias: nil)
    }
  }

  /// Compares the rows of a whole batch with those of several smaller ones.
  static func invariance(
    _ operation: String, _ detail: String, rows: Int,
    _ run: @escaping @Sendable (any TrainingBackend, Range<Int>) throws -> Tensor
  ) -> CheckCase {
    @Sendable func cut(_ backend: any TrainingBackend, at cuts: [Int]) throws -> [CheckedRows] {
      var values: [Float] = []
      var width = 1
      for (first, end) in zip(cuts, cuts.dropFirst()) {
        let part = try run(backend, first..<end)
        width = part.width
        values += try backend.read(part)
      }
      return [CheckedRows(values: values, width: width)]
    }
    return CheckCase(
      operation: operation, detail: "\(detail), the same bits in every batch", tolerance: 0,
      again: { try cut($0, at: [0, 1, 8, 40, rows]) }, run: { try cut($0, at: [0, rows]) })
  }

  private static func product(_ precision: DType, _ transposeA: Bool, _ transposeB: Bool) -> CheckCase {
    let (m, n, k) = (70, 90, 130)
    return CheckCase(
      operation: Product.name,
      detail:
        "\(precision.rawValue), \(transposeA ? "aᵀ" : "a") \(transposeB ? "bᵀ" : "b"), \(m) × \(n) × \(k)",
      tolerance: precision == .f32 ? CheckCase.fine : CheckCase.coarse
    ) { backend in
      let a = try backend.noise(1, transposeA ? [k, m] : [m, k])
      let b = try backend.noise(2, transposeB ? [n, k] : [k, n])
      let plain = try backend.product(
        a, transposeA: transposeA, b, transposeB: transposeB, bias: backend.noise(3, [n]), addTo: nil,
        precision: precision)
      let added = try backend.product(
        a, transposeA: transposeA, b, transposeB: transposeB, bias: nil, addTo: backend.noise(4, [m, n]),
        precision: precision)
      return [try backend.checked(plain), try backend.checked(added)]
    }
  }
}
