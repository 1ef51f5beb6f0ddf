import Basics

/// The dot products of corresponding groups of two rows: `[rows, groups · d]` twice, to `[rows, groups]`.
public struct RowDots: Operation {
  public static let name = "row_dots"
  public let rows: Int
  public let width: Int
  public let groups: Int

  public init(_ a: Shape, _ b: Shape, groups: Int) throws {
    try Self.require(a.rank == 2 && a == b, "\(a) and \(b) differ")
    try Self.require(groups > 0 && a[1] > 0 && a[1] % groups == 0, "\(groups) groups in a width of \(a[1])")
    (rows, width, self.groups) = (a[0], a[1], groups)
  }

  public var outputShape: Shape { [rows, groups] }
  public var flops: Int { 2 * rows * width }
  public var bytes: Int { rows * (2 * width + groups) * 4 }
}

/// Group j of every row times `factors[row, j]`.
public struct ScaleGroups: Operation {
  public static let name = "scale_groups"
  public let outputShape: Shape
  public let groups: Int

  public init(_ x: Shape, by factors: Shape) throws {
    try Self.require(
      x.rank == 2 && factors.rank == 2 && x[0] == factors[0] && factors[1] > 0 && x[1] % factors[1] == 0,
      "factors \(factors) do not fit \(x)")
    outputShape = x
    groups = factors[1]
  }

  public var flops: Int { outputShape.count }
  public var bytes: Int { outputShape.count * 8 }
}

/// `x[i, j] · factors[j] + bias[j]`.
public struct ScaleColumns: Operation {
  public static let name = "scale_columns"
  public let outputShape: Shape

  public init(_ x: Shape, by factors: Shape, bias: Shape?) throws {
    try Self.require(
      x.rank == 2 && factors == [x[1]] && (bias ?? factors) == factors,
      "factors \(factors) and bias do not fit \(x)")
    outputShape = x
  }

  public var flops: Int { outputShape.count * 2 }
  public var bytes: Int { outputShape.count * 8 }
}

extension Tape {
  /// Dot products of corresponding groups: the cosine of unit rows with one group.
  public func rowDots(_ a: Variable, _ b: Variable, groups: Int = 1) throws -> Variable {
    record(try backend.rowDots(a.value, b.value, groups: groups), from: [a, b]) { [self] g in
      if a.needsGradient { try add(backend.scaleGroups(b.value, by: g), to: a) }
      if b.needsGradient { try add(backend.scaleGroups(a.value, by: g), to: b) }
    }
  }

  /// `x[i, j] · factors[j] − offsets[j]`, both trained.
  public func scaleColumns(_ x: Variable, by factors: Variable, less offsets: Variable) throws -> Variable {
    let row = Tensor(
      shape: [1, offsets.width], dtype: offsets.value.dtype, buffer: offsets.value.buffer,
      offset: offsets.value.offset)
    let negative = try backend.scale(row, by: -1)
    let bias = Tensor(
      shape: offsets.value.shape, dtype: .f32, buffer: negative.buffer, offset: negative.offset)
    let y = try backend.scaleColumns(x.value, by: factors.value, bias: bias)
    return record(y, from: [x, factors, offsets]) { [self] g in
      let (factorSum, offsetSum) = (try sum(for: factors), try sum(for: offsets))
      // Column sums of g · x: each element of x is a group of its own.
      try backend.addColumnSums(backend.scaleGroups(g, by: x.value), to: factorSum)
      try backend.addColumnSums(backend.scale(g, by: -1), to: offsetSum)
      try settle(factorSum, to: factors)
      try settle(offsetSum, to: offsets)
      try add(backend.scaleColumns(g, by: factors.value, bias: nil), to: x)
    }
  }
}
