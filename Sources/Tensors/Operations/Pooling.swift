import Basics

/// The mean of each sequence's rows: `[rows, width] → [sequences, width]`.
public struct MeanPool: Operation {
  public static let name = "mean_pool"
  public let rows: Int
  public let sequences: Int
  public let width: Int

  public init(_ x: Shape, batch: PackedBatch) throws {
    try Self.require(
      x.rank == 2 && x[0] == batch.rows, "input \(x) does not fit a batch of \(batch.rows) rows")
    rows = x[0]
    width = x[1]
    sequences = batch.sequences
  }

  public var outputShape: Shape { [sequences, width] }
  public var flops: Int { (rows + sequences) * width }
  public var bytes: Int { (rows + sequences) * width * 4 }
}

/// The gradient of ``MeanPool``: `[sequences, width] → [rows, width]`.
public struct MeanPoolGradient: Operation {
  public static let name = "mean_pool_gradient"
  public let rows: Int
  public let sequences: Int
  public let width: Int

  /// - Parameter g: the gradient of the means.
  public init(_ g: Shape, batch: PackedBatch) throws {
    try Self.require(
      g.rank == 2 && g[0] == batch.sequences,
      "gradient \(g) does not fit a batch of \(batch.sequences) sequences")
    rows = batch.rows
    width = g[1]
    sequences = batch.sequences
  }

  public var outputShape: Shape { [rows, width] }
  public var flops: Int { rows * width }
  public var bytes: Int { (rows + sequences) * width * 4 }
}

/// `y = x / max(‖x‖, ε)`, row by row.
public struct L2Normalize: Operation {
  public static let name = "l2_normalize"
  public let outputShape: Shape

  public init(_ x: Shape) throws {
    try Self.require(x.rank == 2 && x[1] > 0, "input \(x) is not [rows, width]")
    outputShape = x
  }

  public var flops: Int { outputShape.count * 3 }
  public var bytes: Int { outputShape.count * 8 }
}

extension Tape {
  /// The mean of each sequence's rows.
  public func meanPool(_ x: Variable, _ batch: any PreparedPackedBatch) throws -> Variable {
    record(try backend.meanPool(x.value, batch), from: [x]) { [self] g in
      try add(backend.meanPoolGradient(g, batch), to: x)
    }
  }

  /// `x / max(‖x‖, ε)`, row by row.
  public func l2Normalize(_ x: Variable, epsilon: Float) throws -> Variable {
    record(try backend.l2Normalize(x.value, epsilon: epsilon), from: [x]) { [self] g in
      try add(backend.l2NormalizeGradient(g, x: x.value, epsilon: epsilon), to: x)
    }
  }
}
