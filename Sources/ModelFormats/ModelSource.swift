import Basics
import Foundation

/// A tensor as a loader reads it, whatever the format.
public struct StoredTensor: Sendable {
  public let name: String
  public let dtype: DType
  public let shape: Shape
  public let file: String
  public let bytes: @Sendable () -> UnsafeRawBufferPointer
  public let release: @Sendable () -> Void
}

/// A model on disk: a GGUF file, or a Hugging Face folder. Tensors go by their GGUF names in both.
public struct ModelSource: Sendable {
  public enum Format: Sendable {
    case gguf(GGUFFile)
    case huggingFace(folder: String, shards: [SafetensorsFile])
  }

  public let path: String
  public let configuration: ModelConfiguration
  public let format: Format

  /// Opens a `.gguf` file, a folder with `model.gguf`, or a folder with `config.json` and safetensors.
  public init(path: String) throws {
    var isFolder: ObjCBool = false
    guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) else {
      throw RetortError(
        .fileUnavailable, "no such file or folder", file: path,
        remedy: "Give the path of a model, or fetch one with Tools/fetch-model and give its name.")
    }
    self.path = path
    let inner = path + "/model.gguf"
    if !isFolder.boolValue || FileManager.default.fileExists(atPath: inner) {
      let file = try GGUFFile(path: isFolder.boolValue ? inner : path)
      configuration = try ModelConfiguration(gguf: file)
      format = .gguf(file)
    } else {
      configuration = try ModelConfiguration(huggingFace: path + "/config.json")
      format = .huggingFace(folder: path, shards: try ModelSource.shards(path))
    }
  }

  static func shards(_ folder: String) throws -> [SafetensorsFile] {
    let single = folder + "/model.safetensors"
    let index = folder + "/model.safetensors.index.json"
    guard FileManager.default.fileExists(atPath: index) else { return [try SafetensorsFile(path: single)] }
    let map = try JSONFile(path: index)
    guard let weights = try map.optionalObject("weight_map") as? [String: String] else {
      throw GGUFFile.malformed(index, "weight_map", "expected an object of file names")
    }
    let names = Set(weights.values).sorted()
    if let bad = names.first(where: { $0.contains("/") || $0.hasPrefix(".") }) {
      throw GGUFFile.malformed(index, "weight_map", "the file name “\(bad)” leaves the folder")
    }
    let files = try names.map { try SafetensorsFile(path: folder + "/" + $0) }
    for (tensor, name) in weights.sorted(by: { $0.key < $1.key }) {
      guard let file = files.first(where: { $0.path == folder + "/" + name }), file.tensors[tensor] != nil
      else { throw GGUFFile.malformed(index, tensor, "the tensor is not in \(name)") }
    }
    return files
  }

  public func hasTensor(_ name: String) -> Bool { (try? tensor(name)) != nil }

  /// A tensor by its GGUF name.
  ///
  /// - Throws: `malformedFile` where it is missing, naming both formats' names.
  public func tensor(_ name: String) throws -> StoredTensor {
    switch format {
    case .gguf(let file):
      guard let info = file.tensor(named: name) else {
        throw GGUFFile.malformed(file.path, name, "the tensor is missing")
      }
      return StoredTensor(
        name: name, dtype: info.dtype, shape: info.shape, file: file.path,
        bytes: { file.bytes(of: info) }, release: { file.release(info) })
    case .huggingFace(let folder, let shards):
      let other = ModelSource.huggingFaceName(name)
      for shard in shards {
        guard let info = shard.tensors[other] else { continue }
        return StoredTensor(
          name: other, dtype: info.dtype, shape: info.shape, file: shard.path,
          bytes: { shard.bytes(of: info) }, release: { shard.release(info) })
      }
      throw GGUFFile.malformed(folder, other, "the tensor is missing (\(name) in GGUF)")
    }
  }

  /// All tensors in the file's order (GGUF) or by name.
  public var tensors: [TensorInfo] {
    switch format {
    case .gguf(let file): file.tensors
    case .huggingFace(_, let shards): shards.flatMap { $0.tensors.values }.sorted { $0.name < $1.name }
    }
  }

  /// Weights in all; saturates.
  public var parameterCount: Int {
    tensors.reduce(0) { sum, tensor in
      let (next, overflow) = sum.addingReportingOverflow(tensor.shape.checkedCount ?? Int.max)
      return overflow ? Int.max : next
    }
  }

  static func huggingFaceName(_ name: String) -> String {
    let whole = [
      "token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight",
      "output.weight": "lm_head.weight",
    ]
    if let other = whole[name] { return other }
    let parts = name.split(separator: ".")
    guard parts.count == 4, parts[0] == "blk" else { return name }
    let inner: [Substring: String] = [
      "attn_norm": "input_layernorm", "attn_q": "self_attn.q_proj", "attn_k": "self_attn.k_proj",
      "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj", "ffn_norm": "post_attention_layernorm",
      "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj",
    ]
    return "model.layers.\(parts[1]).\(inner[parts[2]] ?? String(parts[2])).\(parts[3])"
  }
}
