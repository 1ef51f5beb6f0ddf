import Basics
import Foundation
import ModelFormats
import Testing

@Suite struct ModelShapeTests {
  @Test func shapesHaveTheirModelsNumberOfWeights() throws {
    // As published on the models' cards.
    let published = [
      "smollm2-135m": 134_515_008, "qwen2-1.5b": 1_543_714_304, "qwen2-7b": 7_615_616_512,
      "llama-8b": 8_030_261_248,
    ]
    for (name, count) in published { #expect(try ModelShape(name).parameterCount == count, "\(name)") }
  }

  @Test func aConfigurationFileIsAShapeToo() throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent(UUID().uuidString)
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { try? FileManager.default.removeItem(at: folder) }
    let path = folder.appendingPathComponent("config.json").path
    let text = """
      {"model_type": "llama", "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
       "intermediate_size": 96, "max_position_embeddings": 128, "vocab_size": 100, "tie_word_embeddings": true}
      """
    try text.write(toFile: path, atomically: true, encoding: .utf8)
    let shape = try ModelShape(path)
    #expect(shape.tiesOutput && shape.configuration.kvHeads == 4)
    // Two layers of 4 · 64² + 3 · 64 · 96 + 2 · 64, the table and the last norm.
    #expect(shape.parameterCount == 2 * (16384 + 18432 + 128) + 6400 + 64)
  }

  @Test func anUnknownShapeNamesTheKnownOnes() {
    let error = #expect(throws: RetortError.self) { _ = try ModelShape("llama-9b") }
    #expect(error?.code == .invalidArgument && error?.remedy.contains("llama-8b") == true)
  }
}
