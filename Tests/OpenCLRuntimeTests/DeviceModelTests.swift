import Basics
import Foundation
import OpenCLRuntime
import Testing

@Suite struct DeviceModelTests {
  @Test func aModelHoldsWhatTheDriverTells() throws {
    let device = try OpenCLPlatforms.devices()[0]
    let model = try DeviceProbe(device, cache: BinaryCache(folder: nil)).describe()
    #expect(model.name == device.name && model.kind == device.kind && !model.architecture.isEmpty)
    #expect(model.limits.memoryBytes == device.memoryBytes)
    #expect((model.waveWidth.value ?? 0) > 0)
    #expect(model.rates == nil && model.binary == nil, "describing measures nothing")
    if model.vendor != .nvidia {
      #expect(model.features.warpInstructions == .none && model.instructions.isEmpty)
      #expect(model.registersPerBlock.reason?.contains("CL_INVALID_VALUE") == true)
    }
  }

  @Test func measuredRatesAreRatesOrReasons() throws {
    let device = try OpenCLPlatforms.devices()[0]
    let model = try DeviceProbe(device, cache: BinaryCache(folder: nil)).measure()
    let ceilings = model.ceilings
    for rate in [
      ceilings.copyGigabytesPerSecond, ceilings.readGigabytesPerSecond, ceilings.f32Gigaflops,
      ceilings.launchMicroseconds, ceilings.launchAndFinishMicroseconds,
    ] {
      #expect(try #require(rate) > 0)
    }
    #expect((ceilings.f16Gigaflops != nil) == device.features.halfArithmetic)
    let rates = try #require(model.rates)
    #expect((rates.bf16MatrixGigaflops.reason != nil) == !model.works("mma.sync bf16"))
  }

  @Test func aModelIsKeptAndATornFileCountsAsAbsent() throws {
    let device = try OpenCLPlatforms.devices()[0]
    let folder = try TemporaryFolder()
    let store = DeviceModelStore(folder: folder.path, programs: BinaryCache(folder: nil))
    #expect(store.stored(device) == nil)
    let model = try store.model(of: device, measured: false)
    #expect(try folder.files.count == 1)
    var kept = try #require(store.stored(device))
    kept.limits = model.limits
    #expect(kept == model)

    let path = try #require(store.path(device))
    let whole = try #require(FileManager.default.contents(atPath: path))
    for length in [0, 20, whole.count / 2, whole.count - 1] {
      try whole.prefix(length).write(to: URL(fileURLWithPath: path))
      #expect(store.stored(device) == nil, "\(length) bytes")
    }
    var flipped = whole
    flipped[whole.count - 5] ^= 1
    try flipped.write(to: URL(fileURLWithPath: path))
    #expect(store.stored(device) == nil, "a flipped bit")
    #expect(try store.model(of: device, measured: false).name == device.name)
    #expect(store.stored(device) != nil, "probed anew and kept")
  }

  @Test func whatWasNotMeasuredIsMeasuredWhenAskedFor() throws {
    let device = try OpenCLPlatforms.devices()[0]
    let folder = try TemporaryFolder()
    let store = DeviceModelStore(folder: folder.path, programs: BinaryCache(folder: nil))
    #expect(try store.model(of: device, measured: false).rates == nil)
    let measured = try store.model(of: device, measured: true)
    #expect(measured.rates != nil)
    #expect(try store.model(of: device, measured: false).rates == measured.rates, "kept, not probed again")
  }

  @Test func aProbedValueSurvivesJSON() throws {
    let values: [Probed<Double>] = [.known(3.5), .absent(reason: "no \"such\" thing")]
    let data = try JSONEncoder().encode(values)
    #expect(try JSONDecoder().decode([Probed<Double>].self, from: data) == values)
  }
}
