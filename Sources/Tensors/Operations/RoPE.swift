import Basics

/// Rotary position embedding (Su et al., 2021): pairs of a head's elements are rotated by
/// `position / scale · base^(−2i / rotaryDim)`.
public struct RoPE: Sendable, Hashable {
  /// Which elements form pair i of a head.
  public enum Pairing: String, Sendable {
    /// Elements 2i and 2i+1 (GGUF `llama`).
    case neighbours
    /// Elements i and i + rotaryDim/2 (GGUF `qwen2`, Hugging Face).
    case halves
  }

  public let headDim: Int
  /// Leading elements of a head that rotate; even.
  public let rotaryDim: Int
  public let base: Float
  /// Divides positions (linear scaling); 1 for none.
  public let positionScale: Float
  public let pairing: Pairing

  public init(headDim: Int, rotaryDim: Int, base: Float, positionScale: Float = 1, pairing: Pairing) {
    self.headDim = headDim
    self.rotaryDim = rotaryDim
    self.base = base
    self.positionScale = positionScale
    self.pairing = pairing
  }

  /// Radians per position for each pair, computed in Double: `[rotaryDim / 2]`.
  public var frequencies: [Double] {
    (0..<rotaryDim / 2).map {
      Basics.power(Double(base), -2 * Double($0) / Double(rotaryDim)) / Double(positionScale)
    }
  }
}

/// ``RoPE`` on given extents.
public struct RotaryEmbedding: Operation {
  public static let name = "rope"
  public let rows: Int
  public let width: Int

  public init(x: Shape, spec: RoPE, batchRows: Int) throws {
    try Self.require(x.rank == 2 && x[0] == batchRows, "input \(x) does not fit a batch of \(batchRows) rows")
    try Self.require(
      spec.headDim > 0 && x[1] % spec.headDim == 0, "width \(x[1]) is not whole heads of \(spec.headDim)")
    try Self.require(
      spec.rotaryDim > 0 && spec.rotaryDim % 2 == 0 && spec.rotaryDim <= spec.headDim,
      "rotary width \(spec.rotaryDim) does not fit heads of \(spec.headDim)")
    rows = x[0]
    width = x[1]
  }

  public var outputShape: Shape { [rows, width] }
  public var flops: Int { rows * width * 3 }
  public var bytes: Int { rows * width * 8 }
}

extension Tape {
  /// Rotates a packed batch's rows at their positions.
  public func rope(_ x: Variable, _ spec: RoPE, _ batch: any PreparedPackedBatch) throws -> Variable {
    record(try backend.rope(x.value, spec, inverse: false, batch), from: [x]) { [self] g in
      try add(backend.rope(g, spec, inverse: true, batch), to: x)
    }
  }
}
