import Basics
import Tensors
import TestSupport
import Testing

/// A few operations on a tape, with the extents of what they read: what tests of the tape run.
struct TapeProgram: Sendable, CustomTestStringConvertible {
  /// The tape, its backend's packed batch (sequences of 3, 1 and 5 rows) and the inputs, to the result.
  typealias Body = @Sendable (Tape, any PreparedPackedBatch, [Variable]) throws -> Variable

  let testDescription: String
  let inputs: [Shape]
  let range: ClosedRange<Float>
  let body: Body

  init(_ name: String, _ inputs: [Shape], in range: ClosedRange<Float> = -1...1, _ body: @escaping Body) {
    testDescription = name
    self.inputs = inputs
    self.range = range
    self.body = body
  }

  static let lengths = [3, 1, 5]

  /// The inputs' values: the same for every backend.
  var values: [[Float]] {
    var random = TestRandom(UInt64(inputs.count))
    return inputs.map { random.floats($0.count, in: range) }
  }

  static let all: [TapeProgram] =
    [
      TapeProgram("linear", [[9, 7], [5, 7], [5]]) { tape, _, x in try tape.linear(x[0], x[1], bias: x[2]) },
      TapeProgram("linear without bias", [[9, 7], [5, 7]]) { tape, _, x in
        try tape.linear(x[0], x[1], bias: nil)
      },
      TapeProgram("layer norm", [[9, 7], [7], [7]]) { tape, _, x in
        try tape.layerNorm(x[0], weight: x[1], bias: x[2], epsilon: 1e-5)
      },
      TapeProgram("RMS norm", [[9, 7], [7]]) { tape, _, x in
        try tape.rmsNorm(x[0], weight: x[1], epsilon: 1e-5)
      },
      TapeProgram("GELU", [[9, 7]], in: -3...3) { tape, _, x in try tape.gelu(x[0], .exact) },
      TapeProgram("GELU by tanh", [[9, 7]], in: -3...3) { tape, _, x in try tape.gelu(x[0], .tanh) },
      TapeProgram("tanh", [[9, 7]], in: -3...3) { tape, _, x in try tape.tanh(x[0]) },
      TapeProgram("SiLU", [[9, 7], [9, 7]], in: -3...3) { tape, _, x in try tape.siluMul(gate: x[0], up: x[1])
      },
      TapeProgram("softmax", [[9, 7]]) { tape, _, x in try tape.softmax(x[0]) },
      TapeProgram("sum", [[9, 7], [9, 7]]) { tape, _, x in try tape.add(x[0], x[1]) },
      TapeProgram("a number twice", [[9, 7]]) { tape, _, x in try tape.add(x[0], x[0]) },
      TapeProgram("rows of a table", [[6, 7]]) { tape, _, x in try tape.gatherRows(x[0], [4, 0, 4, 4, 2]) },
      TapeProgram("dropout", [[9, 70]]) { tape, _, x in
        try tape.dropout(x[0], rate: 0.3, key: 7, stream: 1 << 40)
      },
      TapeProgram("mean of sequences", [[9, 7]]) { tape, batch, x in try tape.meanPool(x[0], batch) },
      TapeProgram("rotation", [[9, 16]]) { tape, batch, x in
        try tape.rope(x[0], RoPE(headDim: 8, rotaryDim: 6, base: 100, pairing: .halves), batch)
      },
      TapeProgram("attention", [[9, 24]]) { tape, batch, x in
        try tape.encoderAttention(x[0], heads: 2, keyHeads: 2, scale: 0.6, causal: false, batch)
      },
      TapeProgram("causal grouped attention", [[9, 32]]) { tape, batch, x in
        try tape.encoderAttention(x[0], heads: 4, keyHeads: 2, scale: 0.6, causal: true, batch)
      },
    ] + fused + heads

  private static let draws = DropoutDraws(rate: 0.3, key: 7, stream: 1 << 40)

  /// What a layer's operations become where a backend does several in one pass over memory.
  private static let fused: [TapeProgram] = [
    TapeProgram("linear and GELU", [[9, 7], [5, 7], [5]]) { tape, _, x in
      try tape.linearGELU(x[0], x[1], bias: x[2], .exact)
    },
    TapeProgram("norm of a residual sum", [[9, 5], [7, 5], [7], [9, 7], [7], [7]]) { tape, _, x in
      try tape.linearResidualNorm(
        x[0], weight: x[1], bias: x[2], residual: x[3], normWeight: x[4], normBias: x[5], epsilon: 1e-5,
        TapeProgram.draws
      )
    },
    TapeProgram("attention of first rows", [[3, 16], [9, 32]]) { tape, batch, x in
      try tape.firstRowAttention(x[0], x[1], heads: 2, scale: 0.6, batch)
    },
    // Its middle is read twice, once by a product that adds its gradient in place.
    TapeProgram("half a layer", [[9, 6], [6, 6], [6], [10, 6], [10], [6, 10], [6], [6], [6]]) { tape, _, x in
      let middle = try tape.linearResidualNorm(
        x[0], weight: x[1], bias: x[2], residual: x[0], normWeight: x[7], normBias: x[8], epsilon: 1e-5,
        TapeProgram.draws
      )
      let inner = try tape.linearGELU(middle, x[3], bias: x[4], .exact)
      return try tape.linearResidualNorm(
        inner, weight: x[5], bias: x[6], residual: middle, normWeight: x[7], normBias: x[8], epsilon: 1e-5,
        DropoutDraws(rate: 0, key: 7, stream: 2 << 40))
    },
  ]

  private static let heads: [TapeProgram] = [
    TapeProgram("unit rows", [[9, 7]]) { tape, _, x in try tape.l2Normalize(x[0], epsilon: 1e-12) },
    TapeProgram("cosine", [[4, 7], [4, 7]]) { tape, _, x in
      try tape.rowDots(
        tape.l2Normalize(x[0], epsilon: 1e-12), tape.l2Normalize(x[1], epsilon: 1e-12), groups: 1)
    },
    TapeProgram("dots of groups", [[4, 12], [4, 12]]) { tape, _, x in
      try tape.rowDots(x[0], x[1], groups: 3)
    },
    TapeProgram("scaled columns", [[9, 7], [7], [7]]) { tape, _, x in
      try tape.scaleColumns(x[0], by: x[1], less: x[2])
    },
    TapeProgram("other rows", [[4, 6]]) { tape, _, x in
      try tape.gelu(tape.reshape(x[0], width: 3), .exact)
    },
    TapeProgram("two ordered classes", [[9, 1], [2]]) { tape, _, x in
      try tape.ordinalLogits(x[0], parameters: x[1])
    },
    TapeProgram("five ordered classes", [[9, 1], [5]]) { tape, _, x in
      try tape.ordinalLogits(x[0], parameters: x[1])
    },
    // A layer that reads its input three times, over a table that every row shares.
    TapeProgram("layer", [[6, 8], [24, 8], [24], [8, 8], [8], [8]]) { tape, batch, x in
      let rows = try tape.gatherRows(x[0], [0, 5, 2, 2, 1, 0, 4, 3, 3])
      let joint = try tape.linear(rows, x[1], bias: x[2])
      let read = try tape.encoderAttention(joint, heads: 2, keyHeads: 2, scale: 0.5, causal: false, batch)
      let mixed = try tape.add(rows, tape.linear(read, x[3], bias: nil))
      let normal = try tape.layerNorm(mixed, weight: x[4], bias: x[5], epsilon: 1e-5)
      return try tape.meanPool(tape.gelu(normal, .exact), batch)
    },
  ]
}
