import Basics
import Foundation
import Tensors
import TestSupport
import Testing

extension Operations {
  /// The tape on every backend against PyTorch's autograd.
  @Suite struct GradientFixtureTests {
    /// PyTorch in Float32 is within 10⁻⁵ of the largest value of each tensor; the files keep nine digits.
    private static func check(
      _ fixture: GradientFixture, _ what: String, _ actual: [Float], _ expected: [Double]
    ) {
      let size = expected.reduce(0) { max($0, $1.magnitude) }
      let bounds = expected.map { _ in size * 1e-5 + 1e-30 }
      if let complaint = Judge.complaint(actual, expected, bounds: bounds) {
        Issue.record("\(fixture.testDescription), \(what): \(complaint)")
      }
    }

    @Test(arguments: BackendUnderTest.trainers)
    func everyCaseIsPyTorchs(_ backend: BackendUnderTest) throws {
      let backend = try backend.trainer
      let cases = try GradientFixture.all()
      #expect(Set(cases.map(\.operation)).count == 19)
      for fixture in cases {
        let tape = Tape(backend)
        let variables = try fixture.inputs.mapValues { numbers in
          // One number a row is a column here.
          let alone = numbers.shape.count == 1 && fixture.inputs["cosine"] != nil && numbers.shape == [6]
          return tape.input(
            try backend.upload(numbers.floats, shape: Shape(alone ? [numbers.width, 1] : numbers.shape)))
        }
        let run = FixtureRun(fixture: fixture, tape: tape, variables: variables)
        let output = try run.forwardAndBackward()
        if let output { Self.check(fixture, "output", output, fixture.output.values) }
        for (name, expected) in fixture.gradients {
          let variable = try #require(variables[name])
          let gradient = try backend.read(#require(variable.gradient, "\(fixture.operation) \(name)"))
          Self.check(fixture, name, gradient, expected.values)
        }
      }
    }
  }
}

/// One case on one tape.
private struct FixtureRun {
  let fixture: GradientFixture
  let tape: Tape
  let variables: [String: Variable]

  private var backend: any TrainingBackend { tape.backend }
  private var attributes: GradientFixture.Attributes { fixture.attributes }

  private func input(_ name: String) throws -> Variable { try #require(variables[name]) }
  private func constant(_ name: String) throws -> GradientFixture.Numbers {
    try #require(fixture.constants[name])
  }

  /// The output's values where they are a tensor of the tape's, after the gradients have been passed back.
  func forwardAndBackward() throws -> [Float]? {
    if let losses = try loss() { return losses }
    if fixture.operation == "attention" { return try attention() }
    if fixture.operation == "rope" { return try rope() }
    let result = try rowOperation() ?? gathered()
    try tape.backward([(result, backend.upload(fixture.upstream.floats, shape: result.value.shape))])
    return try backend.read(result.value)
  }

  private func rowOperation() throws -> Variable? {
    let epsilon = attributes.epsilon ?? 1e-12
    return switch fixture.operation {
    case "linear": try tape.linear(input("x"), input("weight"), bias: input("bias"))
    case "layer_norm":
      try tape.layerNorm(input("x"), weight: input("weight"), bias: input("bias"), epsilon: epsilon)
    case "rms_norm": try tape.rmsNorm(input("x"), weight: input("weight"), epsilon: epsilon)
    case "gelu": try tape.gelu(input("x"), attributes.form == "tanh" ? .tanh : .exact)
    case "tanh": try tape.tanh(input("x"))
    case "silu_mul": try tape.siluMul(gate: input("gate"), up: input("up"))
    case "softmax": try tape.softmax(input("x"))
    case "l2_normalize": try tape.l2Normalize(input("x"), epsilon: epsilon)
    case "cosine":
      try tape.rowDots(
        tape.l2Normalize(input("u"), epsilon: epsilon), tape.l2Normalize(input("v"), epsilon: epsilon))
    case "row_dots": try tape.rowDots(input("u"), input("v"), groups: #require(attributes.groups))
    case "ordinal_log_probabilities": try tape.ordinalLogits(input("cosine"), parameters: input("ordinal"))
    default: nil
    }
  }

  private func batch() throws -> any PreparedPackedBatch {
    let starts = try #require(attributes.starts)
    return try backend.prepare(packedBatch(zip(starts.dropFirst(), starts).map { $0 - $1 }))
  }

  private func gathered() throws -> Variable {
    switch fixture.operation {
    case "mean_pool": return try tape.meanPool(input("x"), batch())
    case "gather_rows": return try tape.gatherRows(input("x"), #require(attributes.indices))
    case "embedding_sum":
      let words = try tape.gatherRows(input("tokens"), constant("ids").integers)
      let places = try tape.gatherRows(input("positions"), constant("places").integers)
      return try tape.add(
        tape.add(words, places), tape.gatherRows(input("types"), constant("segments").integers))
    default: throw RetortError(.invalidArgument, "no case \(fixture.operation)", remedy: "Add it.")
    }
  }

  /// Row i at place p is the last of a sequence of p + 1 rows.
  private func rope() throws -> [Float] {
    let (heads, headDim) = (try #require(attributes.heads), try #require(attributes.headDim))
    let places = try constant("places").integers
    let spec = RoPE(
      headDim: headDim, rotaryDim: headDim, base: try #require(attributes.base),
      pairing: attributes.layout == "half" ? .halves : .neighbours)
    let batch = try packedBatch(places.map { Int($0) + 1 })
    let ends = batch.starts.dropFirst().map { $0 - 1 }
    var spread = [Int32](repeating: 0, count: batch.rows)
    for (row, end) in ends.enumerated() { spread[Int(end)] = Int32(row) }
    let rows = try tape.gatherRows(input("x"), spread)
    let result = try tape.gatherRows(tape.rope(rows, spec, backend.prepare(batch)), ends)
    #expect(result.width == heads * headDim)
    try tape.backward([(result, backend.upload(fixture.upstream.floats, shape: result.value.shape))])
    return try backend.read(result.value)
  }

  private func attention() throws -> [Float] {
    let (q, k, v) = (try input("query"), try input("key"), try input("value"))
    let heads = try #require(attributes.heads)
    let (scale, causal) = (try #require(attributes.scale), attributes.causal == true)
    let batch = try batch()
    let forward = try backend.encoderAttention(
      query: q.value, key: k.value, value: v.value, heads: heads, scale: scale, causal: causal,
      precision: .f32, wantsLogSumExp: true, batch)
    let joint = try backend.encoderAttentionGradient(
      backend.upload(fixture.upstream.floats, shape: forward.output.shape), query: q.value, key: k.value,
      value: v.value, output: forward.output, logSumExp: #require(forward.logSumExp), heads: heads,
      scale: scale, causal: causal, precision: .f32, batch)
    var start = 0
    for variable in [q, k, v] {
      // A view of the joint gradient, packed by gathering its rows.
      let part = try joint.columns(start..<start + variable.width)
      try tape.backward([(variable, backend.scale(part, by: 1))])
      start += variable.width
    }
    return try backend.read(forward.output)
  }

  /// A loss's gradient is that of its weighted sum: the upstream gradient takes the weights' place.
  private func loss() throws -> [Float]? {
    let upstream = fixture.upstream.floats
    switch fixture.operation {
    case "softmax_cross_entropy":
      let logits = try input("logits")
      let labels = try constant("labels").integers
      let targets = labels.flatMap { label in (0..<logits.width).map { Int32($0) == label ? Float(1) : 0 } }
      return try divergence(logits, targets, upstream, 1)
    case "tempered_divergence":
      let temperature = try #require(attributes.temperature)
      let (logits, given) = (try input("logits"), try constant("targets").values)
      let targets = stride(from: 0, to: given.count, by: logits.width).flatMap { row -> [Float] in
        let sharpened = given[row..<row + logits.width].map { pow($0, 1 / temperature) }
        let sum = sharpened.reduce(0, +)
        return sharpened.map { Float($0 / sum) }
      }
      return try divergence(logits, targets, upstream, Float(temperature))
    case "sigmoid_cross_entropy":
      let logits = try input("logits")
      let targets = try backend.matrix(constant("targets").floats, logits.width)
      let weights = try constant("weights").floats
      let seed = try tape.sigmoidCrossEntropy(
        logits, targets: targets,
        weights: backend.matrix(zip(weights, upstream).map { $0 * $1 }, logits.width)
      ).seed
      try tape.backward([seed])
      // Element by element in the file, row by row here: each element as a row.
      let alone = try backend.sigmoidCrossEntropy(
        backend.matrix(#require(fixture.inputs["logits"]).floats, 1),
        targets: backend.matrix(constant("targets").floats, 1), weights: backend.matrix(weights, 1))
      return try backend.read(alone.losses)
    default: return nil
    }
  }

  private func divergence(_ logits: Variable, _ targets: [Float], _ weights: [Float], _ temperature: Float)
    throws -> [Float]
  {
    let target = try backend.matrix(targets, logits.width)
    let seed = try tape.softmaxDivergence(
      logits, targets: target, weights: backend.vector(weights), temperature: temperature
    ).seed
    try tape.backward([seed])
    let ones = try backend.vector(weights.map { _ in 1 })
    let result = try backend.softmaxDivergence(
      logits.value, targets: target, weights: ones, temperature: temperature)
    return try backend.read(result.losses)
  }
}
