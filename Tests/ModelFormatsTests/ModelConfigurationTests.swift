import Basics
import Foundation
import ModelFormats
import Testing

@Suite struct ModelConfigurationTests {
  /// The sample's metadata with one key replaced, or left out where `value` is nil.
  private func metadata(_ key: String, _ value: GGUFWriterValue?) -> [(String, GGUFWriterValue)] {
    SampleModel.metadata.filter { $0.0 != key } + (value.map { [(key, $0)] } ?? [])
  }

  private func configuration(_ metadata: [(String, GGUFWriterValue)]) throws -> ModelConfiguration {
    try withFile(SampleModel.gguf(metadata: metadata).encoded()) { path in
      try ModelConfiguration(gguf: GGUFFile(path: path))
    }
  }

  private func error(_ key: String, _ value: GGUFWriterValue?) -> RetortError? {
    thrownError { _ = try configuration(metadata(key, value)) }
  }

  @Test func bothFormatsGiveTheSameExtents() throws {
    let gguf = try configuration(SampleModel.metadata)
    let other = try withFile(Array(SampleModel.config.utf8), named: "config.json") { path in
      try ModelConfiguration(huggingFace: path)
    }
    #expect(gguf.architecture == "llama" && gguf.name == "sample")
    #expect(gguf.hiddenSize == 32 && gguf.layers == 1 && gguf.heads == 4 && gguf.kvHeads == 2)
    #expect(gguf.headDim == 8 && gguf.intermediateSize == 64 && gguf.contextLength == 128)
    #expect(gguf.vocabularySize == 12 && gguf.rmsNormEpsilon == 1e-5 && gguf.ropeBase == 10_000)
    #expect(gguf.ropeScaling == .none && gguf.ropeStyle == .neighbours && !gguf.attentionBias)
    #expect(other.ropeStyle == .halves)
    var same = other
    same.name = gguf.name
    same.ropeStyle = gguf.ropeStyle
    #expect(same == gguf)
  }

  @Test(arguments: [
    "general.architecture", "llama.embedding_length", "llama.block_count", "llama.attention.head_count",
    "llama.feed_forward_length", "llama.context_length", "llama.attention.layer_norm_rms_epsilon",
  ])
  func aMissingKeyIsNamed(key: String) {
    let error = error(key, nil)
    #expect(error?.field == key)
    #expect(error?.message == "the key is missing")
  }

  @Test(arguments: [
    "general.architecture", "llama.embedding_length", "llama.attention.head_count_kv", "llama.rope.freq_base",
    "llama.attention.layer_norm_rms_epsilon",
  ])
  func aValueOfTheWrongTypeIsNamed(key: String) {
    let error = error(key, .bool(true))
    #expect(error?.code == .malformedFile)
    #expect(error?.field == key)
    #expect(error?.message.contains("found bool, expected") == true)
  }

  @Test func headsThatDoNotShareTheirKeysEvenlyAreRefused() {
    let error = error("llama.attention.head_count_kv", .uint32(3))
    #expect(error?.field == "heads")
    #expect(error?.message == "4 heads do not share 3 key-value heads evenly")
  }

  @Test(arguments: [
    ("llama.embedding_length", "hidden size"), ("llama.block_count", "layers"),
    ("llama.attention.head_count", "heads"), ("llama.attention.head_count_kv", "key-value heads"),
    ("llama.attention.key_length", "head size"), ("llama.feed_forward_length", "intermediate size"),
    ("llama.context_length", "context length"),
  ])
  func anExtentOutOfRangeIsNamed(key: String, field: String) {
    for value: Int64 in [0, -1, 1 << 31, .max, .min] {
      let error = error(key, .int64(value))
      #expect(error?.code == .malformedFile)
      #expect(error?.field == field || (key.hasSuffix("head_count") && value > 0), "\(value)")
    }
  }

  @Test func anOddHeadSizeIsRefused() {
    #expect(error("llama.attention.key_length", .uint32(7))?.field == "head size")
  }

  @Test(arguments: [0, -1, 1, .nan, .infinity] as [Float])
  func aNormEpsilonOutOfRangeIsRefused(epsilon: Float) {
    #expect(error("llama.attention.layer_norm_rms_epsilon", .float32(epsilon))?.field == "norm epsilon")
  }

  @Test(arguments: [0, -10_000, .nan, .infinity] as [Double])
  func aRopeBaseOutOfRangeIsRefused(base: Double) {
    #expect(error("llama.rope.freq_base", .float64(base))?.field == "rope base")
  }

  @Test func linearScalingIsReadAndOthersAreNamed() throws {
    let linear =
      SampleModel.metadata + [
        ("llama.rope.scaling.type", .string("linear")), ("llama.rope.scaling.factor", .float32(4)),
      ]
    #expect(try configuration(linear).ropeScaling == .linear(4))
    #expect(try configuration(metadata("llama.rope.scaling.type", .string("none"))).ropeScaling == .none)
    let unknown = error("llama.rope.scaling.type", .string("yarn"))
    #expect(unknown?.code == .unsupported)
    #expect(unknown?.message.contains("yarn") == true)
    #expect(error("llama.rope.scaling.type", .string("linear"))?.field == "llama.rope.scaling.factor")
    let still = Array(linear.dropLast()) + [("llama.rope.scaling.factor", GGUFWriterValue.float32(0))]
    #expect(thrownError { _ = try configuration(still) }?.field == "rope scaling")
  }

  /// The error of the sample's `config.json` with `old` replaced by `new`.
  private func error(config old: String, _ new: String) throws -> RetortError? {
    let text = SampleModel.config.replacingOccurrences(of: old, with: new)
    #expect(text != SampleModel.config)
    return try withFile(Array(text.utf8), named: "config.json") { path in
      thrownError { _ = try ModelConfiguration(huggingFace: path) }
    }
  }

  @Test func aConfigurationInJSONIsCheckedLikeOneInGGUF() throws {
    for key in ["hidden_size", "num_hidden_layers", "vocab_size", "intermediate_size"] {
      #expect(try error(config: "\"\(key)\"", "\"other\"")?.field == key)
    }
    #expect(try error(config: "\"hidden_size\": 32", "\"hidden_size\": \"32\"")?.field == "hidden_size")
    #expect(try error(config: "\"hidden_size\": 32", "\"hidden_size\": 32.5")?.field == "hidden_size")
    #expect(try error(config: "\"hidden_size\": 32", "\"hidden_size\": 1e300")?.field == "hidden_size")
    #expect(try error(config: "\"llama\"", "7")?.field == "model_type")
    #expect(try error(config: "\"num_key_value_heads\": 2", "\"num_key_value_heads\": 3")?.field == "heads")
    #expect(try error(config: "\"num_attention_heads\": 4", "\"num_attention_heads\": 0")?.field == "heads")
    #expect(try error(config: "\"rms_norm_eps\": 1e-05", "\"rms_norm_eps\": []")?.field == "rms_norm_eps")
    #expect(try error(config: "10000.0", "0.5")?.field == "rope base")
    #expect(try error(config: "null", "5")?.field == "rope_scaling")
    #expect(try error(config: "null", "{\"type\": \"linear\"}")?.field == "rope scaling")
    #expect(try error(config: "null", "{\"rope_type\": \"llama3\"}")?.code == .unsupported)
    #expect(try error(config: "null", "{\"rope_type\": \"linear\", \"factor\": 2}") == nil)
    #expect(try error(config: "\"head_dim\": 8", "\"head_dim\": 9")?.field == "head size")
  }

  @Test func aConfigurationThatIsNotJSONIsNamed() throws {
    for text in ["", "{", "[]", "\"x\"", "{\"model_type\": \"llama\"", "GGUF"] {
      try withFile(Array(text.utf8), named: "config.json") { path in
        let error = thrownError { _ = try ModelConfiguration(huggingFace: path) }
        #expect(error?.code == .malformedFile && error?.field == "JSON" && error?.file == path, "\(text)")
      }
    }
  }
}
