import Tensors
import TestSupport
import Testing
import Transformers

@testable import Generation

/// How many kernels a step launches: counts, unlike times, are the same on every machine.
@Suite(.serialized) struct LaunchCountTests {
  @Test("A decode step launches each layer's kernels once", arguments: BackendPlace.openCL)
  func decodeStep(_ place: BackendPlace) throws {
    let backend = try place.backend
    let model = GoldenModel(folder: "tiny-llama", golden: "golden-hf.json")
    let source = try model.source()
    let layers = source.configuration.layers
    let runner = try ModelRunner(
      model: ModelRegistry.loadDecoder(source, backend: backend, compute: .f32), backend: backend,
      cacheTokens: 64, cacheType: .f32)
    let slice = SequenceSlice(rowStart: 0, rowCount: 1, contextLength: 1, blockTable: [0, 1, 2, 3])
    let batch = try BatchMetadata(tokenIDs: [7], sequences: [slice], blockSize: ModelRunner.blockSize)
    let profiler = Profiler()
    backend.profiler = profiler
    defer { backend.profiler = nil }
    _ = try runner.run(batch, outputRows: [0]).read([LogProbabilityRequest()])
    let kernels = profiler.kernelTotals
    func launches(_ operation: String) -> Int {
      kernels.filter { $0.operation == operation }.reduce(0) { $0 + $1.calls }
    }
    // Queries, keys and values are one product, gate and up another; queries and keys are turned together; a sum
    // and the norm that follows are one pass.
    #expect(launches("matmul") == 4 * layers + 1)
    #expect(launches("rope") == layers)
    #expect(launches("add_rms_norm") == 2 * layers)
    #expect(launches("rms_norm") == 1)
    #expect(launches("add") == 0)
    #expect(launches("store_kv") == layers && launches("silu_mul") == layers)
  }
}
