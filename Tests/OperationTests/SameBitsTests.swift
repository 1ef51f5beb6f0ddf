import Basics
import CPUBackend
import OpenCLBackend
import OpenCLRuntime
import Tensors
import TestSupport
import Testing

extension Operations {
  /// A training step is the same bits whatever the number of threads, and every time it is taken.
  @Suite struct SameBitsTests {
    /// The results of every operation of training on the same numbers, by name.
    private static func results(_ backend: any TrainingBackend) throws -> [(name: String, values: [Float])] {
      let (lengths, width) = ([70, 1, 130, 99], 130)
      let batch = try backend.prepare(packedBatch(lengths))
      let rows = lengths.reduce(0, +)
      var random = TestRandom(77)
      let (g, x) = (
        try backend.matrix(random.floats(rows * width), width),
        try backend.matrix(random.activations(rows * width), width)
      )
      let weight = try backend.vector(random.floats(width))
      let indices = random.ids(rows, below: 40)
      let sums = try (0..<5).map { _ in try backend.vector([Float](repeating: 0.5, count: width)) }
      let table = try backend.matrix([Float](repeating: 0.5, count: 40 * width), width)
      let p = try backend.matrix(random.floats(rows * width), width)
      let (m, v) = (try backend.scale(p, by: 0.1), try backend.scale(backend.softmax(p), by: 0.1))
      let silu = try backend.siluMulGradient(g, gate: x, up: p)
      let divergence = try backend.softmaxDivergence(
        x, targets: backend.softmax(p), weights: backend.vector(random.floats(rows)), temperature: 2)
      let ordinal = try backend.vector([2, 0.3, -1, -2])
      let column = try x.columns(5..<6)
      var tensors: [(String, Tensor)] = [
        (
          "layer norm",
          try backend.layerNormGradient(
            g, x: x, weight: weight, epsilon: 1e-5, weightSum: sums[0], biasSum: sums[1])
        ),
        ("RMS norm", try backend.rmsNormGradient(g, x: x, weight: weight, epsilon: 1e-5, weightSum: sums[2])),
        ("GELU", try backend.geluGradient(g, x: x, .exact)),
        ("GELU by tanh", try backend.geluGradient(g, x: x, .tanh)),
        ("SiLU, gate", silu.gate), ("SiLU, up", silu.up), ("tanh", try backend.tanhGradient(g, y: p)),
        ("softmax", try backend.softmaxGradient(g, y: p)),
        ("unit rows", try backend.l2NormalizeGradient(g, x: x, epsilon: 1e-12)),
        ("mean", try backend.meanPoolGradient(g.rows(0..<lengths.count), batch)),
        ("dropout", try backend.dropout(x, rate: 0.2, key: 5, stream: 6)),
        ("dots", try backend.rowDots(g, x, groups: 10)), ("groups", try backend.scaleGroups(x, by: g)),
        ("losses", divergence.losses), ("gradients", divergence.gradient),
        ("marks", try backend.sigmoidCrossEntropy(x, targets: p, weights: g).losses),
        ("ordinal", try backend.ordinalLogits(column, parameters: ordinal)),
        (
          "ordinal gradient",
          try backend.ordinalLogitsGradient(
            g.columns(0..<4), x: column, parameters: ordinal, sum: sums[4].columns(0..<4))
        ),
        (
          "rotation",
          try backend.rope(
            x, RoPE(headDim: 26, rotaryDim: 26, base: 10_000, pairing: .halves), inverse: true, batch)
        ),
        (
          "product",
          try backend.product(
            g, transposeA: true, x, transposeB: false, bias: nil, addTo: nil, precision: .f32)
        ),
      ]
      try backend.addColumnSums(x, to: sums[3])
      try backend.scatterAddRows(g, indices, to: table)
      try backend.adamW(
        p, gradient: g, firstMoment: m, secondMoment: v,
        AdamWStep(learningRate: 0.1, weightDecay: 0.01, step: 3))
      tensors += [("table", table), ("parameter", p), ("first moment", m), ("second moment", v)]
      tensors += sums.enumerated().map { ("sum \($0)", $1) }
      let squares = try backend.sumOfSquares([x, g, weight])
      return try tensors.map { ($0, try backend.read($1)) }
        + [("squares", [Float(squares), Float(squares - Double(Float(squares)))])]
    }

    private static func compare(_ a: any TrainingBackend, _ b: any TrainingBackend) throws {
      for (first, second) in zip(try results(a), try results(b)) {
        #expect(Judge.bitDifference(first.values[...], second.values[...]) == nil, "\(first.name)")
      }
    }

    @Test(arguments: [2, 3])
    func theNumberOfThreadsChangesNoBit(_ threads: Int) throws {
      try Self.compare(CPUBackend(threads: 1), CPUBackend(threads: threads))
    }

    @Test(arguments: BackendUnderTest.trainers)
    func aSecondTimeChangesNoBit(_ backend: BackendUnderTest) throws {
      let backend = try backend.trainer
      try Self.compare(backend, backend)
    }
  }
}
