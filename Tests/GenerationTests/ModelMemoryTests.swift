import Basics
import OpenCLBackend
import OpenCLRuntime
import Tensors
import Testing
import Transformers

@Suite struct ModelMemoryTests {
  /// As an 8B model in BF16.
  private static let large = ModelMemory(parameters: 8_000_000_000, storedBytes: 16_000_000_000)

  private static func refusal(_ memory: ModelMemory, _ compute: ComputeMode, free: Int) -> RetortError? {
    do {
      try memory.requireFit(compute, freeBytes: free, device: "device", file: "model.gguf")
      return nil
    } catch { return error as? RetortError }
  }

  @Test func whatFitsToTheByteIsLetThrough() {
    #expect(Self.refusal(Self.large, .bf16, free: 16_000_000_000) == nil)
    #expect(Self.refusal(Self.large, .bf16, free: 15_999_999_999)?.code == .outOfMemory)
    #expect(Self.refusal(Self.large, .f32, free: 32_000_000_000) == nil)
    #expect(Self.refusal(Self.large, .int8, free: 8_500_000_000) == nil)
  }

  @Test func aRefusalNamesTheExcessAndTheMostAccurateModeThatFits() {
    let error = Self.refusal(Self.large, .f32, free: 20_000_000_000)
    #expect(
      error?.message
        == "the weights take 32.0 GB in mode f32 and 20.0 GB are free on device: 12.0 GB too much")
    #expect(error?.remedy == "Use --compute bf16: 16.0 GB.")
    #expect(error?.file == "model.gguf" && error?.field == "compute")
    let quantised = ModelMemory(parameters: 8_000_000_000, storedBytes: 4_600_000_000)
    #expect(Self.refusal(quantised, .bf16, free: 6_000_000_000)?.remedy == "Use --compute lean: 4.6 GB.")
  }

  @Test func whereNoModeFitsATypeOfFileIsNamed() {
    let int8 = Self.refusal(Self.large, .bf16, free: 9_000_000_000)
    #expect(int8?.remedy == "Use --compute int8: 8.5 GB.")
    let quantised = Self.refusal(Self.large, .lean, free: 6_000_000_000)
    #expect(quantised?.remedy.hasPrefix("Use the model in Q5_K (5.5 GB) with --compute lean") == true)
    let none = Self.refusal(Self.large, .lean, free: 1_000_000_000)
    #expect(none?.remedy.hasPrefix("Use a smaller model") == true)
  }

  @Test func aFileInFloat32MayBeNarrowedInModeLean() {
    let wide = ModelMemory(parameters: 1_000_000, storedBytes: 4_000_000)
    #expect(Self.refusal(wide, .lean, free: 2_000_000) == nil)
  }

  @Test func aModelThatDoesNotFitADeviceIsRefusedBeforeItIsLoaded() throws {
    var device = try #require(try OpenCLPlatforms.devices().first)
    device.memoryBytes = 20_000
    let backend = try OpenCLBackend(device: device)
    let source = try GoldenModel.all[0].source()
    let error = #expect(throws: RetortError.self) {
      _ = try ModelRegistry.loadDecoder(source, backend: backend, compute: .f32)
    }
    #expect(error?.code == .outOfMemory && error?.message.contains("too much") == true)
    #expect(backend.memoryUse.created == 0)
  }
}
