import Basics
import CPUBackend
import Generation
import ModelFormats
import OpenCLBackend
import OpenCLRuntime
import Tensors
import Testing
import Transformers

@Suite struct RandomDecoderTests {
  /// Log-probabilities of the most likely ids after a prompt.
  private static func top(_ backend: any Backend, _ shape: ModelShape, _ dtype: DType) throws -> [Float] {
    let model = try ModelRegistry.randomDecoder(shape, dtype: dtype, backend: backend, compute: .f32)
    let runner = try ModelRunner(model: model, backend: backend, cacheTokens: 64, cacheType: .f32)
    let slice = SequenceSlice(rowStart: 0, rowCount: 24, contextLength: 24, blockTable: [0, 1])
    let batch = try BatchMetadata(
      tokenIDs: (0..<24).map { $0 * 37 % 1000 }, sequences: [slice], blockSize: ModelRunner.blockSize)
    let ids = [Int32](0..<16)
    let rows = try runner.run(batch, outputRows: [23]).read([LogProbabilityRequest(chosen: ids)])
    return rows[0].chosenLogProbabilities
  }

  @Test func bothBackendsRunTheSameDrawnModel() throws {
    let shape = try ModelShape("tiny")
    let device = try #require(try OpenCLPlatforms.devices().first)
    for dtype in [DType.bf16, .q4_K] {
      let cpu = try Self.top(CPUBackend(threads: 2), shape, dtype)
      let openCL = try Self.top(OpenCLBackend(device: device), shape, dtype)
      #expect(cpu.count == 16 && cpu.allSatisfy { $0.isFinite })
      // Distinct: a model of zeros would give every id the same.
      #expect(Set(cpu).count == 16)
      for (a, b) in zip(cpu, openCL) { #expect(abs(a - b) < 1e-3) }
    }
  }

  @Test func aDrawnModelIsTheSameEveryTime() throws {
    let shape = try ModelShape("tiny")
    let backend = try CPUBackend(threads: 2)
    #expect(try Self.top(backend, shape, .q8_0) == Self.top(backend, shape, .q8_0))
  }
}
