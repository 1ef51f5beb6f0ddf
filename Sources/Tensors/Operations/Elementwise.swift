import Basics

/// `silu(gate) · up` (Shazeer, 2020).
public struct SiLUMul: Operation {
  public static let name = "silu_mul"
  public let outputShape: Shape

  public init(gate: Shape, up: Shape) throws {
    try Self.require(gate.rank == 2 && gate == up, "gate \(gate) and up \(up) differ")
    outputShape = gate
  }

  public var flops: Int { outputShape.count * 5 }
  public var bytes: Int { outputShape.count * 12 }
}

/// `a + b`.
public struct Add: Operation {
  public static let name = "add"
  public let outputShape: Shape

  public init(_ a: Shape, _ b: Shape) throws {
    try Self.require(a.rank == 2 && a == b, "\(a) and \(b) differ")
    outputShape = a
  }

  public var flops: Int { outputShape.count }
  public var bytes: Int { outputShape.count * 12 }
}

/// Gaussian error linear unit (Hendrycks and Gimpel, 2016).
public struct GELU: Operation {
  /// Exact, or the approximation by a hyperbolic tangent.
  public enum Form: String, Sendable, CaseIterable {
    /// `x/2 · (1 + erf(x/√2))`
    case exact
    /// `x/2 · (1 + tanh(√(2/π) · (x + 0.044715 x³)))`
    case tanh
  }

  public static let name = "gelu"
  public let outputShape: Shape

  public init(_ x: Shape) throws {
    try Self.require(x.rank == 2, "input \(x) is not [rows, width]")
    outputShape = x
  }

  public var flops: Int { outputShape.count * 8 }
  public var bytes: Int { outputShape.count * 8 }
}

/// Softmax of every row.
public struct Softmax: Operation {
  public static let name = "softmax"
  public let outputShape: Shape

  public init(_ x: Shape) throws {
    try Self.require(x.rank == 2 && x[1] > 0, "input \(x) is not [rows, width]")
    outputShape = x
  }

  public var flops: Int { outputShape.count * 5 }
  public var bytes: Int { outputShape.count * 8 }
}

/// Copies chosen rows into a packed tensor.
public struct GatherRows: Operation {
  public static let name = "gather_rows"
  public let outputShape: Shape

  public init(_ x: Shape, indices: [Int32]) throws {
    try Self.require(x.rank == 2, "input \(x) is not [rows, width]")
    try Self.require(indices.allSatisfy { $0 >= 0 && Int($0) < x[0] }, "a row index is outside \(x)")
    outputShape = [indices.count, x[1]]
  }

  public var flops: Int { 0 }
  public var bytes: Int { outputShape.count * 8 }
}

/// Log-softmax with the highest and the chosen entries read back.
public struct LogProbabilities: Operation {
  public static let name = "log_probabilities"
  public let rows: Int
  public let width: Int

  public init(_ x: Shape, requests: [LogProbabilityRequest]) throws {
    try Self.require(x.rank == 2 && x[1] > 0, "logits \(x) are not [rows, vocabulary]")
    try Self.require(x[0] == requests.count, "\(requests.count) requests for logits \(x)")
    for request in requests {
      try Self.require(
        request.temperature > 0 && request.repetitionPenalty > 0, "temperature and penalty must be positive")
      try Self.require(request.topCount >= 0, "a negative top count")
      if let allowed = request.allowed {
        try Self.require(
          allowed.words.count == (x[1] + 31) / 32, "a mask of \(allowed.words.count) words for logits \(x)")
      }
      let ids = request.chosen + request.penalized
      try Self.require(ids.allSatisfy { $0 >= 0 && Int($0) < x[1] }, "a token id is outside the vocabulary")
    }
    rows = x[0]
    width = x[1]
  }

  public var outputShape: Shape { [rows, width] }
  public var flops: Int { rows * width * 6 }
  public var bytes: Int { rows * width * 4 }
}

extension Tape {
  /// `silu(gate) · up`.
  public func siluMul(gate: Variable, up: Variable) throws -> Variable {
    record(try backend.siluMul(gate: gate.value, up: up.value), from: [gate, up]) { [self] g in
      let gradients = try backend.siluMulGradient(g, gate: gate.value, up: up.value)
      try add(gradients.gate, to: gate)
      try add(gradients.up, to: up)
    }
  }

  /// `a + b`.
  public func add(_ a: Variable, _ b: Variable) throws -> Variable {
    record(try backend.add(a.value, b.value), from: [a, b]) { [self] g in
      try add(g, to: a)
      try add(g, to: b)
    }
  }

  /// `GELU(x)`, element by element.
  public func gelu(_ x: Variable, _ form: GELU.Form) throws -> Variable {
    record(try backend.gelu(x.value, form), from: [x]) { [self] g in
      try add(backend.geluGradient(g, x: x.value, form), to: x)
    }
  }

  /// Softmax of every row.
  public func softmax(_ x: Variable) throws -> Variable {
    let y = try backend.softmax(x.value)
    return record(y, from: [x]) { [self] g in try add(backend.softmaxGradient(g, y: y), to: x) }
  }

  /// The given rows, packed; of a table, the look-up of an embedding.
  public func gatherRows(_ x: Variable, _ indices: [Int32]) throws -> Variable {
    record(try backend.gatherRows(x.value, indices), from: [x]) { [self] g in
      let sum = try sum(for: x)
      try backend.scatterAddRows(g, indices, to: sum)
      try settle(sum, to: x)
    }
  }
}
