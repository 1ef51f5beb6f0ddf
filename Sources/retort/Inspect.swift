import ArgumentParser
import Basics
import Foundation
import ModelFormats
import Tensors
import Tokenizers
import Transformers

struct Inspect: ParsableCommand {
  static let configuration = CommandConfiguration(
    abstract: "Shows what a model file holds and the memory it needs.",
    discussion: "Example: retort inspect smollm2-135m")

  @Argument(help: "A .gguf file, a Hugging Face folder, or a fetched name.")
  var model: String

  @Flag(help: "Print JSON for machines instead of text for people.")
  var json = false

  func run() throws {
    let source = try ModelSource(path: ModelPath.resolve(model))
    let tokenizer = try tokenizerDescription(source)
    let c = source.configuration
    var types: [String: Int] = [:]
    for tensor in source.tensors { types[tensor.dtype.rawValue, default: 0] += 1 }
    let memory = ModelMemory(source)
    let cacheToken = KVCacheSpec(
      layers: c.layers, blocks: 1, blockSize: 1, kvHeads: c.kvHeads, headDim: c.headDim, dtype: .f16
    ).blockBytes
    let rows: [(key: String, label: String, value: Any)] = [
      ("architecture", "architecture", c.architecture), ("name", "name", c.name),
      ("is_supported", "can be run", ModelRegistry.architectures.contains(c.architecture)),
      ("parameters", "parameters", source.parameterCount), ("layers", "layers", c.layers),
      ("hidden_size", "hidden size", c.hiddenSize), ("heads", "heads", c.heads),
      ("kv_heads", "key-value heads", c.kvHeads), ("head_dim", "head size", c.headDim),
      ("intermediate_size", "intermediate size", c.intermediateSize),
      ("vocabulary_size", "vocabulary", c.vocabularySize), ("context_length", "context", c.contextLength),
      ("rope_base", "rope base", c.ropeBase), ("tokenizer", "tokenizer", tokenizer.name),
      ("template", "chat template", tokenizer.template),
      ("weight_bytes", "weights in the file", memory.storedBytes),
      ("lean_bytes", "memory, lean", memory.weightBytes(.lean)),
      ("int8_bytes", "memory, int8", memory.weightBytes(.int8)),
      ("bf16_bytes", "memory, bf16", memory.weightBytes(.bf16)),
      ("f32_bytes", "memory, f32", memory.weightBytes(.f32)),
      ("cache_bytes_per_token", "cache per token (f16)", cacheToken),
    ]
    if json {
      var object = Dictionary(uniqueKeysWithValues: rows.map { ($0.key, $0.value) })
      object["tensor_types"] = types
      return Output.write(try Output.json(object))
    }
    for row in rows {
      let value = row.key.hasSuffix("bytes") ? bytes(row.value) : "\(row.value)"
      Output.write(row.label.padding(toLength: 22, withPad: " ", startingAt: 0) + value + "\n")
    }
    let counts = types.sorted { $0.key < $1.key }.map { "\($0.key) × \($0.value)" }
    Output.write(
      "tensor types".padding(toLength: 22, withPad: " ", startingAt: 0) + counts.joined(separator: ", ")
        + "\n")
  }

  private func bytes(_ value: Any) -> String {
    String(format: "%.1f MB", Double(value as? Int ?? 0) / 1e6)
  }

  /// A tokenizer that cannot be used is part of what there is to see, so it is told instead of thrown.
  private func tokenizerDescription(_ source: ModelSource) throws -> (name: String, template: String) {
    do {
      let tokenizer = try Tokenizer(VocabularySpec(source))
      let template = (try? ChatTemplate.detect(from: tokenizer.chatTemplate).style.rawValue) ?? "unknown"
      return ("byte-level BPE, \(tokenizer.preTokenizer.rawValue)", template)
    } catch let error as RetortError {
      return ("not usable: \(error.message)", "unknown")
    }
  }
}
