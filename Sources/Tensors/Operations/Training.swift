import Basics

/// `sum[j] += Σᵢ x[i, j]`.
public struct ColumnSums: Operation {
  public static let name = "column_sums"
  public let rows: Int
  public let width: Int

  public init(_ x: Shape, to sum: Shape) throws {
    try Self.require(x.rank == 2 && sum == [x[1]], "\(x) into \(sum)")
    (rows, width) = (x[0], x[1])
  }

  public var outputShape: Shape { [width] }
  public var flops: Int { rows * width }
  public var bytes: Int { (rows + 2) * width * 4 }
}

/// `sum[indices[i]] += g[i]`.
public struct ScatterAddRows: Operation {
  public static let name = "scatter_add_rows"
  public let rows: Int
  public let outputShape: Shape

  public init(_ g: Shape, indices: [Int32], to sum: Shape) throws {
    try Self.require(
      g.rank == 2 && sum.rank == 2 && g[1] == sum[1] && g[0] == indices.count,
      "\(g) at \(indices.count) places into \(sum)")
    try Self.require(indices.allSatisfy { $0 >= 0 && Int($0) < sum[0] }, "a row index is outside \(sum)")
    rows = g[0]
    outputShape = sum
  }

  public var flops: Int { rows * outputShape[1] }
  public var bytes: Int { rows * outputShape[1] * 12 }
}

/// The gradient of an operation on rows: as many elements again as its forward pass.
public struct RowGradient<Forward: Operation>: Operation {
  public static var name: String { Forward.name + "_gradient" }
  public let outputShape: Shape
  public let flopsPerElement: Int
  public let tensors: Int

  /// - Parameters:
  ///   - others: shapes that must equal that of `g`, the gradient of the result.
  ///   - vectors: shapes that must be `[width]`.
  public init(_ g: Shape, _ others: [Shape], vectors: [Shape] = [], flopsPerElement: Int) throws {
    try Self.require(
      g.rank == 2 && others.allSatisfy { $0 == g } && vectors.allSatisfy { $0 == [g[1]] },
      "gradient \(g) beside \(others) and \(vectors)")
    outputShape = g
    self.flopsPerElement = flopsPerElement
    tensors = others.count + 2
  }

  public var flops: Int { outputShape.count * flopsPerElement }
  public var bytes: Int { outputShape.count * tensors * 4 }
}

/// ``AdamWStep`` on one parameter.
public struct AdamW: Operation {
  public static let name = "adamw"
  public let outputShape: Shape

  public init(_ parameter: Shape, gradient: Shape, firstMoment: Shape, secondMoment: Shape) throws {
    try Self.require(
      gradient == parameter && firstMoment == parameter && secondMoment == parameter,
      "\(parameter) with a gradient of \(gradient) and moments of \(firstMoment) and \(secondMoment)")
    outputShape = parameter
  }

  public var flops: Int { outputShape.count * 13 }
  public var bytes: Int { outputShape.count * 28 }
}
