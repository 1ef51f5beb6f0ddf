import Basics
import OpenCLBackend
import OpenCLRuntime
import Tensors
import TestSupport
import Testing

extension Operations {
  /// Both kernel families on one device: they read the same weights and keep the same order of sums.
  @Suite struct KernelFamilyTests {
    private static func backends() throws -> [OpenCLBackend] {
      let device = try OpenCLPlatforms.devices()[0]
      return try KernelFamily.allCases.map { try OpenCLBackend(device: device, family: $0) }
    }

    @Test(arguments: [
      (DType.f32, ComputeMode.f32), (.f16, .lean), (.q4_1, .f32), (.q4_1, .lean), (.q6_K, .lean),
      (.q5_K, .bf16),
    ])
    func bothFamiliesMultiplyToTheSameBits(_ dtype: DType, _ mode: ComputeMode) throws {
      let backends = try Self.backends()
      let stored = Stored.weight(dtype, 45, 512)
      var random = TestRandom(1)
      let bias = random.floats(45)
      for rows in [3, 20] {
        let x = random.activations(rows * 512)
        let results = try backends.map { backend in
          let weight = try backend.loadMatrix([stored.source], compute: mode)
          let product = try backend.matmul(
            backend.matrix(x, 512), weight, bias: backend.vector(bias))
          return try backend.read(product)
        }
        #expect(Judge.bitDifference(results[0][...], results[1][...]) == nil, "\(rows) rows")
      }
    }

    @Test func leanProductsAreThoseOfTheWidenedWeights() throws {
      let backend = try Self.backends()[0]
      var random = TestRandom(2)
      let x = random.activations(9 * 512)
      for dtype in [DType.q4_0, .q4_1, .q5_0, .q5_1, .q8_0, .q4_K, .q5_K, .q6_K] {
        let source = Stored.weight(dtype, 33, 512).source
        let results = try [ComputeMode.f32, .lean].map { mode in
          let weight = try backend.loadMatrix([source], compute: mode)
          return try backend.read(backend.matmul(backend.matrix(x, 512), weight, bias: nil))
        }
        #expect(Judge.bitDifference(results[0][...], results[1][...]) == nil, "\(dtype)")
      }
    }

    /// The GPU-class kernels of every device that has subgroups or warps, without and with them.
    private static func exchanges() throws -> [(plain: OpenCLBackend, shuffled: OpenCLBackend)] {
      try OpenCLPlatforms.devices().filter {
        !$0.features.subgroupSizes.isEmpty || $0.features.warpInstructions == .ptx
      }.map {
        var features = KernelFeatures.portable
        features.subgroupSizes = $0.features.subgroupSizes
        features.warpInstructions = $0.features.warpInstructions
        return (
          try OpenCLBackend(device: $0, family: .gpu, features: .portable),
          try OpenCLBackend(device: $0, family: .gpu, features: features)
        )
      }
    }

    @Test func shufflesAddUpInTheOrderOfLocalMemory() throws {
      for (plain, shuffled) in try Self.exchanges() {
        for width in [3, 128, 1037, 5000] {
          var random = TestRandom(UInt64(width))
          let (x, g) = (random.activations(3 * width), random.floats(3 * width))
          let weight = random.floats(width)
          let results = try [plain, shuffled].map { backend -> [[Float]] in
            let (rows, upstream) = (try backend.matrix(x, width), try backend.matrix(g, width))
            let (scale, sums) = (try backend.vector(weight), try backend.vector(weight))
            return try [
              backend.rmsNorm(rows, weight: scale, epsilon: 1e-5),
              backend.layerNorm(rows, weight: scale, bias: scale, epsilon: 1e-5), backend.softmax(rows),
              backend.l2Normalize(rows, epsilon: 1e-6), backend.softmaxGradient(upstream, y: rows),
              backend.layerNormGradient(
                upstream, x: rows, weight: scale, epsilon: 1e-5, weightSum: sums, biasSum: sums), sums,
            ].map(backend.read)
          }
          for (a, b) in zip(results[0], results[1]) {
            #expect(Judge.bitDifference(a[...], b[...]) == nil, "width \(width)")
          }
        }
      }
    }

    @Test(arguments: [DType.f16, .q4_1, .q6_K]) func nativeHalfsAreThoseTakenApart(_ dtype: DType) throws {
      for device in try OpenCLPlatforms.devices() where device.features.halfArithmetic {
        var random = TestRandom(4)
        let x = random.activations(3 * 512)
        let source = Stored.weight(dtype, 33, 512).source
        let results = try [KernelFeatures.portable, KernelFeatures(halfArithmetic: true)].map { features in
          let backend = try OpenCLBackend(device: device, family: .cpu, features: features)
          let weight = try backend.loadMatrix([source], compute: .lean)
          return try backend.read(backend.matmul(backend.matrix(x, 512), weight, bias: nil))
        }
        #expect(Judge.bitDifference(results[0][...], results[1][...]) == nil, "\(device.name)")
      }
    }

    @Test(arguments: [3, 7]) func theHighestOfManyEqualLogitsHaveTheLowestColumns(_ values: Int) throws {
      // Of three values in 5000 columns more are the highest than a group keeps as candidates, of seven fewer.
      let (rows, width) = (4, 5000)
      for backend in try Self.backends() {
        let x = (0..<(rows * width)).map { Float($0 * 7919 % values) }
        for count in [2, 100, 200] {
          let request = LogProbabilityRequest(temperature: 1, topCount: count, chosen: [])
          let found = try backend.logProbabilities(
            backend.matrix(x, width), [LogProbabilityRequest](repeating: request, count: rows))
          for (row, result) in found.enumerated() {
            let expected = (0..<width).filter { x[row * width + $0] == Float(values - 1) }.prefix(count)
            #expect(result.topIDs == expected.map(Int32.init))
          }
        }
      }
    }

    @Test(arguments: [(2, 45, 300), (13, 33, 512), (100, 20, 257)])
    func tilesForBothWidthsOfRegistersGiveTheSameBits(_ rows: Int, _ columns: Int, _ terms: Int) throws {
      let device = try OpenCLPlatforms.devices()[0]
      let backends = try [8, 16].map {
        try OpenCLBackend(device: device, family: .cpu, features: KernelFeatures(registerFloats: $0))
      }
      var random = TestRandom(4)
      let x = random.activations(rows * terms)
      let bias = random.floats(columns)
      let sum = random.floats(rows * columns)
      let stored = Stored.weight(.f32, columns, terms)
      let other = random.floats(columns * terms)
      let results = try backends.map { backend in
        let weight = try backend.loadMatrix([stored.source], compute: .f32)
        let first = try backend.matmul(backend.matrix(x, terms), weight, bias: backend.vector(bias))
        let second = try backend.product(
          backend.matrix(x, terms), transposeA: false, backend.matrix(other, terms), transposeB: true,
          bias: backend.vector(bias), addTo: backend.matrix(sum, columns), precision: .f32)
        return try backend.read(first) + backend.read(second)
      }
      #expect(Judge.bitDifference(results[0][...], results[1][...]) == nil)
    }

    @Test func attentionInTilesForBothWidthsOfRegistersGivesTheSameBits() throws {
      let device = try OpenCLPlatforms.devices()[0]
      let parts = [(9, 140), (1, 83), (1, 1)].map { TestBatch.Part(rows: $0.0, context: $0.1) }
      let batch = try TestBatch(parts, blockSize: 16)
      // Values of 48 numbers are no whole number of the wider tiles.
      let spec = KVCacheSpec(
        layers: 1, blocks: batch.blocks, blockSize: 16, kvHeads: 1, headDim: 48, dtype: .f16)
      var random = TestRandom(5)
      let query = random.activations(batch.metadata.rows * 4 * 48)
      let results = try [8, 16].map { registerFloats in
        let features = KernelFeatures(registerFloats: registerFloats)
        let backend = try OpenCLBackend(device: device, family: .cpu, features: features)
        let (cache, _) = try AttentionTests.filled(backend, spec, batch, layer: 0)
        return try backend.read(
          backend.attention(
            backend.matrix(query, 4 * 48), heads: 4, scale: 0.2, layer: 0, cache: cache,
            backend.prepare(batch.metadata)))
      }
      #expect(Judge.bitDifference(results[0][...], results[1][...]) == nil)
    }

    @Test func gpuClassKernelsFollowTheReference() throws {
      let backend = try #require(try Self.backends().last)
      #expect(backend.family == .gpu)
      var random = TestRandom(3)
      let (rows, width) = (5, 333)
      let x = random.activations(rows * width)
      let weight = random.floats(width)
      let bias = random.floats(width)
      let input = try backend.columns(x, width)
      try expectClose(
        backend, backend.rmsNorm(input, weight: backend.vector(weight), epsilon: 1e-5),
        Reference.rmsNorm(x.doubles, weight: weight.doubles, epsilon: 1e-5), Tolerances.rmsNorm(width: width))
      try expectClose(
        backend,
        backend.layerNorm(input, weight: backend.vector(weight), bias: backend.vector(bias), epsilon: 1e-5),
        Reference.layerNorm(x.doubles, weight: weight.doubles, bias: bias.doubles, epsilon: 1e-5),
        Tolerances.layerNorm(width: width))
      try expectClose(
        backend, backend.softmax(input), Reference.softmax(x.doubles, width: width),
        Tolerances.softmax(width: width))
      let requests = (0..<rows).map {
        LogProbabilityRequest(temperature: 0.7, topCount: 1 + 20 * $0, chosen: [3, 300])
      }
      let cpu = try Self.backends()[0]
      let ours = try backend.logProbabilities(input, requests)
      let theirs = try cpu.logProbabilities(cpu.columns(x, width), requests)
      for (a, b) in zip(ours, theirs) {
        #expect(a.topIDs == b.topIDs && a.topLogits == b.topLogits)
        #expect(abs(a.logSumExp - b.logSumExp) < 1e-5)
      }
    }
  }
}
