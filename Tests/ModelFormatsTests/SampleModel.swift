import Basics
import ModelFormats

/// A decoder of one layer, complete enough for `ModelSource`, in both formats; its weights are arbitrary.
enum SampleModel {
  static let hidden = 32
  static let vocabulary = 12
  static let intermediate = 64
  static let heads = 4
  static let kvHeads = 2

  static let tokens = (0..<vocabulary).map { "t\($0)é" }

  /// Names and shapes of all tensors, by their GGUF names.
  static let tensors: [(name: String, shape: Shape)] = [
    ("token_embd.weight", [vocabulary, hidden]), ("output_norm.weight", [hidden]),
    ("blk.0.attn_norm.weight", [hidden]), ("blk.0.attn_q.weight", [hidden, hidden]),
    ("blk.0.attn_k.weight", [hidden / 2, hidden]), ("blk.0.attn_v.weight", [hidden / 2, hidden]),
    ("blk.0.attn_output.weight", [hidden, hidden]), ("blk.0.ffn_norm.weight", [hidden]),
    ("blk.0.ffn_gate.weight", [intermediate, hidden]), ("blk.0.ffn_up.weight", [intermediate, hidden]),
    ("blk.0.ffn_down.weight", [hidden, intermediate]),
  ]

  /// The same tensors by their Hugging Face names.
  static let huggingFaceNames = [
    "model.embed_tokens.weight", "model.norm.weight", "model.layers.0.input_layernorm.weight",
    "model.layers.0.self_attn.q_proj.weight", "model.layers.0.self_attn.k_proj.weight",
    "model.layers.0.self_attn.v_proj.weight", "model.layers.0.self_attn.o_proj.weight",
    "model.layers.0.post_attention_layernorm.weight", "model.layers.0.mlp.gate_proj.weight",
    "model.layers.0.mlp.up_proj.weight", "model.layers.0.mlp.down_proj.weight",
  ]

  static let metadata: [(String, GGUFWriterValue)] = [
    ("general.architecture", .string("llama")), ("general.name", .string("sample")),
    ("llama.embedding_length", .uint32(UInt32(hidden))), ("llama.block_count", .uint32(1)),
    ("llama.attention.head_count", .uint32(UInt32(heads))),
    ("llama.attention.head_count_kv", .uint16(UInt16(kvHeads))),
    ("llama.feed_forward_length", .uint64(UInt64(intermediate))), ("llama.context_length", .int32(128)),
    ("llama.attention.layer_norm_rms_epsilon", .float32(1e-5)), ("llama.rope.freq_base", .float64(10_000)),
    ("tokenizer.ggml.model", .string("gpt2")), ("tokenizer.ggml.tokens", .strings(tokens)),
    ("tokenizer.ggml.token_type", .int32s(tokens.map { _ in 1 })),
    ("tokenizer.ggml.scores", .float32s(tokens.indices.map { Float($0) })),
    ("tokenizer.ggml.merges", .strings(["t 0", "t 1"])), ("tokenizer.ggml.add_bos_token", .bool(true)),
    ("sample.nested", .array(of: .array, [.array(of: .uint8, [.uint8(1), .uint8(2)]), .strings(["x"])])),
    ("sample.small", .int8(-5)), ("sample.short", .int16(-300)), ("sample.long", .int64(.min)),
    ("sample.large", .uint64(.max)),
  ]

  /// Bytes that are valid for every type: no scale field is infinite, as no byte has all exponent bits.
  static func bytes(_ dtype: DType, _ shape: Shape, seed: UInt64) -> [UInt8] {
    var draw = Draw(seed: seed)
    let count = dtype.byteCount(elements: shape.count) ?? 0
    return (0..<count).map { _ in UInt8(draw.next() & 0x3F) }
  }

  /// The GGUF file with the matrices in each of the 32-element types in turn, and one row of each larger type.
  static func gguf(
    metadata: [(String, GGUFWriterValue)] = metadata, without missing: String = "", alignment: Int = 32
  ) throws -> GGUFWriter {
    var writer = try GGUFWriter(alignment: alignment)
    for (key, value) in metadata { try writer.add(key, value) }
    let types = DType.allCases.filter { $0 != .i32 && $0.blockSize <= hidden }
    for (index, tensor) in tensors.enumerated() where tensor.name != missing {
      let dtype = tensor.shape.rank == 1 ? .f32 : types[index % types.count]
      try writer.add(
        tensor: tensor.name, dtype: dtype, shape: tensor.shape,
        bytes: bytes(dtype, tensor.shape, seed: UInt64(index)))
    }
    for dtype in DType.allCases where dtype.blockSize > hidden {
      try writer.add(
        tensor: "extra.\(dtype.rawValue)", dtype: dtype, shape: [1, dtype.blockSize],
        bytes: bytes(dtype, [1, dtype.blockSize], seed: 99))
    }
    return writer
  }

  static let config = """
    {"model_type": "llama", "hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 4,
     "num_key_value_heads": 2, "intermediate_size": 64, "max_position_embeddings": 128, "vocab_size": 12,
     "rms_norm_eps": 1e-05, "rope_theta": 10000.0, "rope_scaling": null, "head_dim": 8}
    """

  /// The tensors numbered `range` as safetensors, their types in turn.
  static func safetensors(_ range: Range<Int>, without missing: String = "") throws -> SafetensorsWriter {
    var writer = SafetensorsWriter(metadata: ["format": "pt"])
    let types: [DType] = [.bf16, .f16, .f32]
    for index in range where huggingFaceNames[index] != missing {
      let dtype = types[index % 3]
      let shape = tensors[index].shape
      try writer.add(
        tensor: huggingFaceNames[index], dtype: dtype, shape: shape,
        bytes: bytes(dtype, shape, seed: UInt64(index)))
    }
    return writer
  }

  static let shardNames = ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"]

  /// The index that puts the first five tensors in the first shard.
  static var index: String {
    let entries = huggingFaceNames.enumerated().map { "\"\($1)\": \"\(shardNames[$0 < 5 ? 0 : 1])\"" }
    return "{\"metadata\": {\"total_size\": 1}, \"weight_map\": {\(entries.joined(separator: ", "))}}"
  }

  /// Writes the Hugging Face folder with two shards.
  static func writeSharded(to folder: String) throws {
    try write(Array(config.utf8), to: folder + "/config.json")
    try write(Array(index.utf8), to: folder + "/model.safetensors.index.json")
    try safetensors(0..<5).write(to: folder + "/" + shardNames[0])
    try safetensors(5..<tensors.count).write(to: folder + "/" + shardNames[1])
  }
}
