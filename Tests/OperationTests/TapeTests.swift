import Basics
import Tensors
import TestSupport
import Testing

extension Operations {
  @Suite struct TapeTests {
    /// Σ upstream · result of a program on the reference backend, in Float64.
    private static func weighted(_ program: TapeProgram, _ values: [[Double]], _ upstream: [Double]) throws
      -> Double
    {
      let backend = ReferenceBackend()
      let tape = Tape(backend)
      let inputs = try zip(values, program.inputs).map {
        tape.constant(try backend.upload(exact: $0, shape: $1))
      }
      let result = try program.body(tape, backend.prepare(packedBatch(TapeProgram.lengths)), inputs)
      return zip(try backend.doubles(result.value), upstream).reduce(0) { $0 + $1.0 * $1.1 }
    }

    /// A random gradient for a result.
    private static func upstream(_ shape: Shape) -> [Float] {
      var random = TestRandom(99)
      return random.floats(shape.count)
    }

    /// The gradients of all inputs of a program on a backend, and the upstream gradient they came from.
    private static func gradients(_ program: TapeProgram, on backend: any TrainingBackend) throws
      -> (gradients: [Tensor], upstream: [Float])
    {
      let tape = Tape(backend)
      let inputs = try zip(program.values, program.inputs).map {
        tape.input(try backend.upload($0, shape: $1))
      }
      let result = try program.body(tape, backend.prepare(packedBatch(TapeProgram.lengths)), inputs)
      let upstream = upstream(result.value.shape)
      try tape.backward([(result, backend.upload(upstream, shape: result.value.shape))])
      return (try inputs.map { try #require($0.gradient) }, upstream)
    }

    @Test(arguments: TapeProgram.all)
    func gradientsAreCentralDifferences(_ program: TapeProgram) throws {
      let backend = ReferenceBackend()
      let (gradients, upstream) = try Self.gradients(program, on: backend)
      // Truncation is of the order h², rounding 2⁻⁵³ / h: both below 10⁻⁸.
      let step = 1e-5
      for (index, gradient) in gradients.enumerated() {
        #expect(gradient.shape == program.inputs[index])
        let actual = try backend.doubles(gradient)
        let size = actual.reduce(1) { max($0, $1.magnitude) }
        for place in actual.indices {
          var values = program.values.map(\.doubles)
          values[index][place] += step
          let above = try Self.weighted(program, values, upstream.doubles)
          values[index][place] -= 2 * step
          let below = try Self.weighted(program, values, upstream.doubles)
          let expected = (above - below) / (2 * step)
          #expect((actual[place] - expected).magnitude < 1e-7 * size, "input \(index), element \(place)")
        }
      }
    }

    @Test(arguments: BackendUnderTest.trainers, TapeProgram.all)
    func everyBackendFindsTheReferencesGradients(_ backend: BackendUnderTest, _ program: TapeProgram) throws {
      let backend = try backend.trainer
      let actual = try Self.gradients(program, on: backend).gradients
      let reference = ReferenceBackend()
      let expected = try Self.gradients(program, on: reference).gradients
      for (index, (gradient, right)) in zip(actual, expected).enumerated() {
        #expect(gradient.shape == program.inputs[index])
        let values = try reference.doubles(right)
        // A few operations in Float32, each within its tolerance of some hundred roundings.
        let size = values.reduce(0) { max($0, $1.magnitude) }
        let complaint = Judge.complaint(
          try backend.read(gradient), values, bounds: values.map { _ in size * 1e-5 }, width: gradient.width)
        if let complaint { Issue.record("input \(index): \(complaint)") }
      }
    }

    @Test(arguments: BackendUnderTest.trainers)
    func aParametersGradientGathersOverPasses(_ backend: BackendUnderTest) throws {
      let backend = try backend.trainer
      for program in TapeProgram.all {
        let parameters = try zip(program.values, program.inputs).enumerated().map { index, input in
          try Parameter(
            "p\(index)", backend.upload(input.0, shape: input.1), decays: false, on: backend)
        }
        var first: [[Float]] = []
        for pass in 1...2 {
          let tape = Tape(backend)
          let result = try program.body(
            tape, backend.prepare(packedBatch(TapeProgram.lengths)), parameters.map(tape.parameter))
          let upstream = Self.upstream(result.value.shape)
          try tape.backward([(result, backend.upload(upstream, shape: result.value.shape))])
          let gradients = try parameters.map { try backend.read($0.gradient) }
          if pass == 1 {
            let alone = try Self.gradients(program, on: backend).gradients.map { try backend.read($0) }
            for (a, b) in zip(gradients, alone) {
              let size = b.reduce(0) { max($0, $1.magnitude) }
              #expect(
                zip(a, b).allSatisfy { ($0 - $1).magnitude <= size * 1e-6 }, "\(program.testDescription)")
            }
            first = gradients
          } else {
            for (a, b) in zip(gradients, first) {
              let size = b.reduce(0) { max($0, $1.magnitude) }
              #expect(
                zip(a, b).allSatisfy { ($0 - 2 * $1).magnitude <= size * 1e-6 }, "\(program.testDescription)")
            }
          }
        }
      }
    }

    @Test(arguments: BackendUnderTest.trainers)
    func lossesSeedTheirLogits(_ backend: BackendUnderTest) throws {
      let backend = try backend.trainer
      let tape = Tape(backend)
      let x = tape.input(try backend.matrix([0.5, -1, 2, 0.25], 2))
      let targets = try backend.matrix([1, 0, 0.5, 0.5], 2)
      let scores = try tape.softmaxDivergence(
        x, targets: targets, weights: backend.vector([1, 0.5]), temperature: 2)
      let marks = try tape.sigmoidCrossEntropy(x, targets: targets, weights: targets)
      #expect(scores.losses.shape == [2] && marks.losses.shape == [2])
      try tape.backward([scores.seed, marks.seed])
      let (a, b) = (try backend.read(scores.seed.1), try backend.read(marks.seed.1))
      let total = try backend.read(#require(x.gradient))
      #expect(zip(total, zip(a, b)).allSatisfy { ($0 - ($1.0 + $1.1)).magnitude < 1e-6 })
    }

    @Test func constantsAndWhatNobodyReadsHaveNoGradient() throws {
      let backend = ReferenceBackend()
      let tape = Tape(backend)
      let (x, fixed) = (
        tape.input(try backend.matrix([1, 2], 2)), tape.constant(try backend.matrix([3, 4], 2))
      )
      let unread = try tape.gelu(x, .exact)
      let sum = try tape.add(x, fixed)
      #expect(try !tape.add(fixed, fixed).needsGradient && sum.needsGradient)
      try tape.backward([(sum, backend.matrix([1, 10], 2))])
      #expect(try backend.read(#require(x.gradient)) == [1, 10])
      #expect(fixed.gradient == nil && unread.gradient == nil)
    }
  }
}
