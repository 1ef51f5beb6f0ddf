import Basics
import Tensors
import TestSupport
import Testing

@testable import OpenCLBackend
@testable import OpenCLRuntime

extension Operations {
  /// Launches of more groups than a device takes in a dimension: NVIDIA's GPUs take 65,535 in the second, here it is 3.
  @Suite struct GroupLimitTests {
    private static func backends(_ features: KernelFeatures) throws -> [OpenCLBackend] {
      try [nil, 3].map { limit in
        let backend = try OpenCLBackend(
          device: OpenCLPlatforms.devices()[0], family: .gpu, features: features)
        backend.context.groupLimit = limit
        return backend
      }
    }

    /// That `results` are the same bits with the limit and without.
    private static func expectSameBits(
      _ features: KernelFeatures, _ results: (OpenCLBackend) throws -> [(String, Tensor)]
    ) throws {
      let values = try backends(features).map { backend in
        try results(backend).map { ($0, try backend.read($1)) }
      }
      for (whole, parts) in zip(values[0], values[1]) {
        #expect(!whole.1.isEmpty && Judge.bitDifference(whole.1[...], parts.1[...]) == nil, "\(whole.0)")
      }
    }

    @Test func rowsInPartsHaveTheBitsOfOneLaunch() throws {
      var random = TestRandom(1)
      let (rows, width) = (10, 37)
      let (x, g, weight) = (
        random.activations(rows * width), random.floats(rows * width), random.floats(width)
      )
      try Self.expectSameBits(.portable) { backend in
        let (x, g) = (try backend.matrix(x, width), try backend.matrix(g, width))
        let (scale, sum, bias) = (
          try backend.vector(weight), try backend.vector(weight), try backend.vector(weight)
        )
        let dx = try backend.layerNormGradient(
          g, x: x, weight: scale, epsilon: 1e-5, weightSum: sum, biasSum: bias)
        return try [
          ("layer_norm_gradient", dx), ("its sum", sum),
          ("rms_norm", backend.rmsNorm(x, weight: scale, epsilon: 1e-5)),
          ("softmax", backend.softmax(x)), ("gelu", backend.gelu(x, .exact)),
          ("row_dots", backend.rowDots(x, g, groups: 1)),
          ("gather_rows", backend.gatherRows(x, (0..<10).reversed())),
          ("dropout", backend.dropout(x, rate: 0.1, key: 3, stream: 4)),
          (
            "encoder_attention",
            backend.firstRowAttention(
              query: x, key: x, value: x, heads: 1, scale: 0.2,
              backend.prepare(packedBatch([Int](repeating: 1, count: rows))))
          ),
        ]
      }
    }

    @Test func logProbabilitiesInPartsAreThoseOfOneLaunch() throws {
      var random = TestRandom(2)
      let (rows, width) = (7, 300)
      let logits = random.activations(rows * width)
      let request = LogProbabilityRequest(temperature: 0.7, topCount: 3, chosen: [5])
      let found = try Self.backends(.portable).map { backend in
        try backend.logProbabilities(
          backend.matrix(logits, width), [LogProbabilityRequest](repeating: request, count: rows))
      }
      #expect(found[0].map(\.topIDs) == found[1].map(\.topIDs))
      #expect(found[0].map(\.logSumExpAtTemperature) == found[1].map(\.logSumExpAtTemperature))
    }

    /// A vocabulary of 151,936 columns is over the limit where a tuned table gives a group one or two of them.
    @Test(arguments: [ComputeMode.f32, .int8])
    func columnsInPartsHaveTheBitsOfOneLaunch(_ compute: ComputeMode) throws {
      var random = TestRandom(3)
      let x = random.activations(2 * 96)
      try Self.expectSameBits(.portable) { backend in
        let weight = try backend.loadMatrix([Stored.weight(.f32, 101, 96).source], compute: compute)
        return [("matmul", try backend.matmul(backend.matrix(x, 96), weight, bias: nil))]
      }
    }

    @Test func operandsOfTensorCoresInPartsHaveTheBitsOfOneLaunch() throws {
      var random = TestRandom(4)
      let x = random.activations(5 * 96)
      try Self.expectSameBits(KernelFeatures(warpInstructions: .emulated)) { backend in
        let weight = try backend.loadMatrix([Stored.weight(.bf16, 40, 96).source], compute: .lean)
        return [("matmul", try backend.matmul(backend.matrix(x, 96), weight, bias: nil))]
      }
    }

    @Test func whatMayNotBePartedIsRefusedByName() throws {
      var random = TestRandom(5)
      let a = random.floats(193 * 2)
      for (limit, backend) in zip([nil, 3], try Self.backends(.portable)) {
        let x = try backend.matrix(a, 2)
        func multiply(_ rows: Range<Int>) throws {
          _ = try backend.product(
            x.rows(rows), transposeA: false, x.rows(0..<2), transposeB: true, bias: nil, addTo: nil,
            precision: .f32)
        }
        try multiply(0..<192)
        guard limit != nil else { return try multiply(0..<193) }
        let error = #expect(throws: RetortError.self) { try multiply(0..<193) }
        #expect(error?.code == .unsupported && error?.field == "product_tiled")
        #expect(error?.remedy.contains("batch") == true)
      }
    }

    @Test func onlyNVIDIAsDevicesHaveALimit() throws {
      for device in try OpenCLPlatforms.devices() {
        #expect(device.groupLimit == (device.identity.vendor == .nvidia ? 65_535 : nil))
      }
    }
  }
}
