import Basics
import OpenCLBackend
import Tensors
import TestSupport
import Testing

extension Operations {
  /// What is not a number stays none, through exponentials too: a diverged run must not look like a sound one.
  ///
  /// NVIDIA's GPUs make it with all bits of the fraction set, x86 with one; a kernel that computes with a float's bits
  /// may lose the one and keep the other.
  @Suite struct NotANumberTests {
    static let patterns: [UInt32] = [0x7fc0_0000, 0x7fff_ffff, 0xffc0_0001]
    static let backends = BackendUnderTest.all + [.emulatedWarps]

    private static let (rows, width) = (5, 37)

    /// Numbers of which one is none, and its place: row 2, column 21.
    private static func matrix(_ pattern: UInt32, seed: UInt64) -> [Float] {
      var random = TestRandom(seed)
      var values = random.activations(rows * width)
      values[2 * width + 21] = Float(bitPattern: pattern)
      return values
    }

    @Test(arguments: backends, patterns)
    func elementwiseItStaysInItsPlace(_ backend: BackendUnderTest, _ pattern: UInt32) throws {
      let backend = try backend.trainer
      let x = try backend.matrix(Self.matrix(pattern, seed: 1), Self.width)
      var random = TestRandom(2)
      let other = try backend.matrix(random.floats(Self.rows * Self.width), Self.width)
      let sum = try backend.vector([Float](repeating: 0, count: Self.width))
      let gradients = try backend.siluMulGradient(other, gate: x, up: other)
      let results: [(String, Tensor)] = try [
        ("gelu", backend.gelu(x, .exact)), ("gelu, tanh", backend.gelu(x, .tanh)),
        ("silu", backend.siluMul(gate: x, up: other)), ("silu, up", backend.siluMul(gate: other, up: x)),
        ("tanh", backend.tanh(x)), ("gelu's gradient", backend.geluGradient(other, x: x, .exact)),
        ("gelu's gradient, tanh", backend.geluGradient(other, x: x, .tanh)),
        ("gelu's gradient and its sums", backend.geluGradient(other, x: x, .exact, columnSum: sum)),
        ("silu's gradient, gate", gradients.gate), ("silu's gradient, up", gradients.up),
      ]
      for (name, result) in results {
        let values = try backend.read(result)
        #expect(values.indices.filter { values[$0].isNaN } == [2 * Self.width + 21], "\(name)")
      }
      let sums = try backend.read(sum)
      #expect(sums.indices.filter { sums[$0].isNaN } == [21])
    }

    @Test(arguments: backends, patterns)
    func overARowItReachesAllOfIt(_ backend: BackendUnderTest, _ pattern: UInt32) throws {
      let backend = try backend.backend
      let x = try backend.matrix(Self.matrix(pattern, seed: 3), Self.width)
      let ones = try backend.vector([Float](repeating: 1, count: Self.width))
      let results: [(String, Tensor)] = try [
        ("softmax", backend.softmax(x)), ("rms_norm", backend.rmsNorm(x, weight: ones, epsilon: 1e-5)),
        ("layer_norm", backend.layerNorm(x, weight: ones, bias: ones, epsilon: 1e-5)),
        ("l2_normalize", backend.l2Normalize(x, epsilon: 1e-6)),
      ]
      for (name, result) in results {
        let values = try backend.read(result)
        #expect(
          values.indices.filter { values[$0].isNaN } == Array(2 * Self.width..<3 * Self.width), "\(name)")
      }
    }

    /// Two sequences, two heads of 32; what is no number is in the second sequence and head. On OpenCL: the CPU
    /// backend's vectors give such a score the weight 0.
    @Test(arguments: backends.filter { !$0.testDescription.hasPrefix("CPU") })
    func attentionKeepsItWithinWhatSeesIt(_ backend: BackendUnderTest) throws {
      let isEmulated = backend.testDescription == BackendUnderTest.emulatedWarps.testDescription
      // Kernels of CPU-class devices have a second span of keys from 128 on.
      let (last, width) = ((try backend.backend as? OpenCLBackend)?.family == .gpu ? 20 : 130, 64)
      for pattern in isEmulated ? [0x7fff_ffff] : Self.patterns {
        for operand in 0..<3 {
          var problem = try EncoderGradientTests.Problem(
            [2, last], heads: 2, kvHeads: 2, headDim: 32, causal: false)
          // The last row, number 7 of the head.
          let place = (last + 1) * width + 32 + 7
          let value = Float(bitPattern: pattern)
          if operand == 0 { problem.query[place] = value }
          if operand == 1 { problem.key[place] = value }
          if operand == 2 { problem.value[place] = value }
          try Self.expectAttention(
            backend.trainer, problem, operand, precision: isEmulated ? .bf16 : .f32, "\(pattern)")
        }
      }
    }

    private static func expectAttention(
      _ backend: any TrainingBackend, _ problem: EncoderGradientTests.Problem, _ operand: Int,
      precision: DType, _ pattern: String
    ) throws {
      let (width, last) = (problem.width, problem.packed.rows - 1)
      let forward = try backend.encoderAttention(
        query: backend.matrix(problem.query, width), key: backend.matrix(problem.key, width),
        value: backend.matrix(problem.value, width), heads: 2, scale: problem.scale, causal: false,
        precision: precision, wantsLogSumExp: false, backend.prepare(problem.packed))
      let output = try backend.read(forward.output)
      // A query's own row, of a key all rows of its sequence, of a value its column.
      let expected = output.indices.filter { index in
        let (row, column) = (index / width, index % width)
        return row >= 2 && column >= 32 && (operand != 0 || row == last) && (operand != 2 || column == 39)
      }
      #expect(output.indices.filter { output[$0].isNaN } == expected, "operand \(operand), \(pattern)")
      let gradient = try backend.read(problem.run(backend, precision))
      // Of the row's gradient what is multiplied by it: all for the query's; for the key's where scores are.
      let row = last * 3 * width
      let (dq, dk) = (gradient[row + 32..<row + 64], gradient[row + 96..<row + 128])
      #expect(dq.allSatisfy { $0.isNaN }, "query's gradient, operand \(operand), \(pattern)")
      #expect(operand == 2 || dk.allSatisfy { $0.isNaN }, "key's gradient, operand \(operand), \(pattern)")
    }

    /// Of a decoder, in the last of a prompt's rows, which no other sees: a query's in its head, a key's in both.
    @Test(
      arguments: BackendUnderTest.caches.filter {
        !$0.0.testDescription.hasPrefix("CPU") && [.f32, .f16].contains($0.1)
      })
    func decodersAttentionKeepsItInItsRow(_ backend: BackendUnderTest, _ dtype: CacheType) throws {
      let backend = try backend.backend
      let batch = try TestBatch(
        [.init(rows: 3, context: 40), .init(rows: 1, context: 17)], blockSize: 16, seed: 5)
      let spec = KVCacheSpec(
        layers: 1, blocks: batch.blocks, blockSize: 16, kvHeads: 1, headDim: 32, dtype: dtype)
      let (cache, _) = try AttentionTests.filled(backend, spec, batch, layer: 0)
      let prepared = try backend.prepare(batch.metadata)
      var random = TestRandom(6)
      let (query, key) = (random.activations(4 * 64), random.activations(4 * 32))
      func places(_ query: [Float]) throws -> [Int] {
        let y = try backend.read(
          backend.attention(
            backend.matrix(query, 64), heads: 2, scale: 0.2, layer: 0, cache: cache, prepared))
        return y.indices.filter { y[$0].isNaN }
      }
      for pattern in Self.patterns {
        var values = query
        values[2 * 64 + 32 + 7] = Float(bitPattern: pattern)
        #expect(try places(values) == Array(2 * 64 + 32..<3 * 64), "query, \(pattern)")
      }
      for pattern in Self.patterns {
        var values = key
        values[2 * 32 + 7] = Float(bitPattern: pattern)
        try backend.storeKV(
          key: backend.matrix(values, 32), value: backend.matrix(key, 32), layer: 0, cache: cache, prepared)
        #expect(try places(query) == Array(2 * 64..<3 * 64), "key, \(pattern)")
      }
    }
  }
}
