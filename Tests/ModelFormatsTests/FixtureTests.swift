import Basics
import Foundation
import ModelFormats
import Testing

/// Files that other programs wrote: the Python packages `gguf` and `safetensors` (Tools/fixtures/tiny_models.py).
@Suite struct FixtureTests {
  private static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent()
    .deletingLastPathComponent().appendingPathComponent("Fixtures").path

  @Test(arguments: [
    "tiny-llama/mixed.gguf", "tiny-llama/hf", "tiny-qwen2/mixed.gguf", "tiny-qwen2/hf",
    "tiny-kquant/model.gguf",
  ])
  func aModelFromAnotherWriterHasItsTensorsAndFiniteScales(name: String) throws {
    let source = try ModelSource(path: Self.folder + "/" + name)
    let configuration = source.configuration
    #expect(configuration.architecture == (name.hasPrefix("tiny-qwen2") ? "qwen2" : "llama"))
    #expect(source.tensors.count > 10)
    let table = try source.tensor("token_embd.weight")
    #expect(table.shape == [configuration.vocabularySize, configuration.hiddenSize])
    for layer in 0..<configuration.layers {
      let keys = try source.tensor("blk.\(layer).attn_k.weight")
      #expect(keys.shape == [configuration.kvHeads * configuration.headDim, configuration.hiddenSize])
      let down = try source.tensor("blk.\(layer).ffn_down.weight")
      #expect(down.shape == [configuration.hiddenSize, configuration.intermediateSize])
      try down.validateFiniteScales()
    }
  }

  @Test func theTinyLlamaHasTheExtentsOfItsDescription() throws {
    for name in ["tiny-llama/mixed.gguf", "tiny-llama/hf"] {
      let configuration = try ModelSource(path: Self.folder + "/" + name).configuration
      #expect(configuration.layers == 2 && configuration.hiddenSize == 64)
      #expect(configuration.heads == 4 && configuration.kvHeads == 2 && configuration.headDim == 16)
      #expect(configuration.intermediateSize == 96 && configuration.vocabularySize == 288)
    }
  }

  @Test func theMixedFileHoldsItsTypesAndItsVocabulary() throws {
    let file = try GGUFFile(path: Self.folder + "/tiny-llama/mixed.gguf")
    let types: Set<DType> = [.q8_0, .q4_0, .q4_1, .q5_0, .q5_1, .f16, .bf16, .f32]
    #expect(Set(file.tensors.map(\.dtype)) == types)
    #expect(file.version == 3)
    #expect(try file.strings("tokenizer.ggml.tokens").count == 288)
    #expect(try file.integers("tokenizer.ggml.token_type").count == 288)
    #expect(try file.string("tokenizer.ggml.model") == "gpt2")
  }
}
