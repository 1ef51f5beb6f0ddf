import Basics

/// `op(a) op(b) + bias`, `[m, k] × [k, n] → [m, n]`, where `op` transposes if asked to; may be added to a sum.
public struct Product: Operation {
  public static let name = "product"
  /// Rows of the result.
  public let m: Int
  /// Columns of the result.
  public let n: Int
  /// Terms of an element.
  public let k: Int
  public let transposeA: Bool
  public let transposeB: Bool
  public let hasBias: Bool
  public let accumulates: Bool
  /// `.bf16` rounds the operands, never the sums.
  public let precision: DType

  /// - Throws: `shapeMismatch` where the operands do not fit, `invalidArgument` for a precision other than `.f32`
  ///   and `.bf16`.
  public init(
    _ a: Shape, transposeA: Bool, _ b: Shape, transposeB: Bool, bias: Shape? = nil, addTo sum: Shape? = nil,
    precision: DType
  ) throws {
    try Self.require(a.rank == 2 && b.rank == 2, "operands \(a) and \(b) are not matrices")
    let (m, k) = transposeA ? (a[1], a[0]) : (a[0], a[1])
    let (terms, n) = transposeB ? (b[1], b[0]) : (b[0], b[1])
    try Self.require(
      k == terms,
      "\(a)\(transposeA ? " transposed" : "") and \(b)\(transposeB ? " transposed" : "") do not fit")
    try Self.require([m, n, k].allSatisfy { 0...Self.largestExtent ~= $0 }, "extents of \(a) and \(b)")
    try Self.require(([2, m, n, k] as Shape).checkedCount != nil, "extents of \(a) and \(b)")
    if let bias { try Self.require(bias == [n], "bias \(bias) does not fit \(n) columns") }
    if let sum { try Self.require(sum == [m, n], "sum \(sum) does not fit [\(m), \(n)]") }
    guard precision == .f32 || precision == .bf16 else {
      throw RetortError(
        .invalidArgument, "\(Self.name): no products in \(precision.rawValue)", field: "precision",
        remedy: "Ask for f32 or bf16.")
    }
    (self.m, self.n, self.k) = (m, n, k)
    (self.transposeA, self.transposeB) = (transposeA, transposeB)
    hasBias = bias != nil
    accumulates = sum != nil
    self.precision = precision
  }

  /// Of rows, columns and terms.
  public static let largestExtent = 1 << 30

  public var outputShape: Shape { [m, n] }
  public var flops: Int { 2 * m * n * k }
  public var bytes: Int { 4 * (m * k + k * n + (accumulates ? 2 : 1) * m * n + (hasBias ? n : 0)) }
}
