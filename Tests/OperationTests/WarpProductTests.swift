import Basics
import OpenCLRuntime
import Tensors
import TestSupport
import Testing

@testable import OpenCLBackend

extension Operations.ProductTests {
  /// Training's products on tensor cores: as they are where the device has them, elsewhere emulated.
  @Suite struct WarpProductTests {
    private static let precision = DType.bf16

    @Test(arguments: Operations.ProductTests.cases)
    func everyTranspositionMultipliesLikeTheReference(_ size: Case) throws {
      try Operations.ProductTests.expectEveryTransposition(WarpBackend.make(), size) { _ in Self.precision }
    }

    /// In large tiles and in small ones.
    @Test func anElementIsTheSameBitsWhateverRowsAndColumnsStandBesideIt() throws {
      try Operations.ProductTests.expectSameBitsInAnyCompany(
        WarpBackend.make(), Self.precision, Case(m: 1410, n: 1410, k: 40),
        parts: [(7..<8, 3..<40), (100..<177, 600..<671), (1400..<1410, 0..<1)])
    }

    @Test func halvesOfTheTermsAddUpToTheBitsOfTheWhole() throws {
      // Terms are added 32 after 32, so they may be parted at multiples of that.
      try Operations.ProductTests.expectHalvesAddUp(WarpBackend.make(), Self.precision, partedAt: 96)
    }
  }

  /// Training's products by `wgmma`: as they are where the device has it, elsewhere emulated.
  @Suite struct WarpgroupProductTests {
    private static let precision = DType.bf16

    private static func make() throws -> OpenCLBackend {
      let devices = try OpenCLPlatforms.devices()
      let able = try devices.first {
        try DeviceModelStore.standard.features(of: $0).warpgroupInstructions != .none
      }
      var tuning = try Tuning.of(able ?? devices[0])
      tuning[.productWarpgroupChoice] = KernelParameters(["WGMMA": 1])
      return try OpenCLBackend(
        device: able ?? devices[0], family: .gpu,
        features: able == nil ? KernelFeatures(warpgroupInstructions: .emulated) : nil, tuning: tuning)
    }

    /// Fewer spans than buffers and more, whole tiles and parts.
    @Test(arguments: [Case(m: 1, n: 1, k: 1), Case(m: 70, n: 130, k: 100), Case(m: 129, n: 128, k: 260)])
    func everyTranspositionMultipliesLikeTheReference(_ size: Case) throws {
      try Operations.ProductTests.expectEveryTransposition(Self.make(), size) { _ in Self.precision }
    }

    @Test func anElementIsTheSameBitsWhateverRowsAndColumnsStandBesideIt() throws {
      try Operations.ProductTests.expectSameBitsInAnyCompany(
        Self.make(), Self.precision, Case(m: 140, n: 150, k: 40),
        parts: [(7..<8, 3..<40), (30..<107, 60..<131)])
    }

    @Test func halvesOfTheTermsAddUpToTheBitsOfTheWhole() throws {
      // Terms are added 16 after 16, so they may be parted at multiples of that.
      try Operations.ProductTests.expectHalvesAddUp(Self.make(), Self.precision, partedAt: 48)
    }

    /// What fills tiles up reaches no result.
    @Test func noTermsLeaveTheStartAndInfinityStaysInItsRow() throws {
      let backend = try Self.make()
      let (empty, none) = (try backend.allocate([3, 0], .f32), try backend.allocate([0, 2], .f32))
      let start = try backend.product(
        empty, transposeA: false, none, transposeB: false, bias: backend.vector([1, 2]),
        addTo: backend.matrix([1, 2, 3, 4, 5, 6], 2), precision: Self.precision)
      #expect(try backend.read(start) == [2, 4, 4, 6, 6, 8])
      var a = [Float](repeating: 1, count: 20 * 33)
      a[3 * 33 + 32] = .infinity
      let b = [Float](repeating: 1, count: 5 * 33)
      let y = try backend.read(
        backend.product(
          backend.matrix(a, 33), transposeA: false, backend.matrix(b, 33), transposeB: true, bias: nil,
          addTo: nil, precision: Self.precision))
      #expect(y.indices.allSatisfy { y[$0] == ($0 / 5 == 3 ? .infinity : 33) })
    }

    /// Emulated, both add the terms of an instruction in the order of their places.
    @Test func addingAsWarpsDoIsSeenWhereItIsSo() throws {
      let backend = try OpenCLBackend(
        device: OpenCLPlatforms.devices()[0], family: .gpu,
        features: KernelFeatures(warpInstructions: .emulated, warpgroupInstructions: .emulated))
      #expect(try backend.warpgroupsAddAsWarps())
      // In the same places of a row the terms are added in two orders.
      let values = [21, 22].map { TrialInputs.floats(128 * 512, seed: $0) }
      #expect(try !backend.warpgroupsMultiply(values, asWarps: values, terms: 512))
      let plain = try OpenCLBackend(
        device: OpenCLPlatforms.devices()[0], family: .gpu, features: .portable)
      let error = #expect(throws: RetortError.self) { try plain.warpgroupsAddAsWarps() }
      #expect(error?.code == .unsupported)
    }
  }
}
