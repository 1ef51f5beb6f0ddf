import Basics
import Foundation
import ModelFormats
import Relevance
import Tensors

extension StudentDescription {
  /// What a student's folder will say.
  public init(_ student: any Student, maximumLength: Int, baseModel: String) {
    self.init(
      student: student.kind,
      labels: student.shape.labels.labels.map { Grade(name: $0.name, gain: $0.gain) },
      aspects: student.shape.aspects, maximumLength: maximumLength, slotWidth: student.shape.slotWidth,
      baseModel: baseModel)
  }
}

/// Writes a student as the folder that transformers and sentence-transformers load.
///
/// `model.safetensors`, `config.json` and the tokenizer's files are theirs; `retort.json` and the heads that they
/// have no place for are files beside them. `retort.json` is written last: a folder that has it is complete.
public struct StudentFolder {
  let student: any Student
  let source: EncoderSource
  let backend: any TrainingBackend
  let maximumLength: Int
  let baseModel: String

  public init(
    _ student: any Student, source: EncoderSource, baseModel: String, maximumLength: Int,
    on backend: any TrainingBackend
  ) {
    self.student = student
    self.source = source
    self.backend = backend
    self.maximumLength = maximumLength
    self.baseModel = baseModel
  }

  private static let tokenizerFiles = [
    "tokenizer.json", "tokenizer_config.json", "vocab.txt", "special_tokens_map.json",
  ]

  /// Files that writing would take the place of.
  static let fileNames =
    [StudentDescription.fileName, StudentDescription.headsFileName, "model.safetensors", "config.json"]
    + ["modules.json", "sentence_bert_config.json", "README.md"] + tokenizerFiles

  /// Writes every file; `card` becomes README.md.
  ///
  /// - Throws: `fileUnavailable` or `writeFailed`.
  public func write(to folder: String, card: String) throws {
    try Folder.make(folder)
    try weights().write(to: folder + "/model.safetensors")
    if !student.extraHeads.isEmpty {
      var heads = SafetensorsWriter(metadata: ["format": "pt"])
      for head in student.extraHeads {
        try add(
          head.name, head.parameter, 0..<head.parameter.value.shape[0], head.parameter.value.shape, to: &heads
        )
      }
      try heads.write(to: folder + "/" + StudentDescription.headsFileName)
    }
    try configuration().write(to: folder + "/config.json")
    for name in Self.tokenizerFiles where FileManager.default.fileExists(atPath: source.folder + "/" + name) {
      try copy(source.folder + "/" + name, to: folder + "/" + name)
    }
    if student.kind == .representation { try sentenceModules(folder) }
    try AtomicText.write(card, to: folder + "/README.md")
    let description = StudentDescription(student, maximumLength: maximumLength, baseModel: baseModel)
    try AtomicText.write(json: description, to: folder + "/" + StudentDescription.fileName)
  }

  /// All tensors that the Hugging Face model has, by its names.
  private func weights() throws -> SafetensorsWriter {
    let isClassifier = student.kind == .interaction
    let prefix = isClassifier ? "bert." : ""
    var writer = SafetensorsWriter(metadata: ["format": "pt"])
    for tensor in student.encoder.stored {
      try add(prefix + tensor.name, tensor.parameter, tensor.rows, tensor.shape, to: &writer)
    }
    for head in student.modelHeads {
      let name = head.name.hasPrefix("pooler") ? prefix + head.name : head.name
      try add(
        name, head.parameter, 0..<head.parameter.value.shape[0], head.parameter.value.shape, to: &writer)
    }
    return writer
  }

  private func add(
    _ name: String, _ parameter: Parameter, _ rows: Range<Int>, _ shape: Shape,
    to writer: inout SafetensorsWriter
  ) throws {
    let values = try backend.read(parameter.value)
    let width = shape.rank == 2 ? shape[1] : 1
    let part = Array(values[rows.lowerBound * width..<rows.upperBound * width])
    try writer.add(
      tensor: name, dtype: .f32, shape: shape, bytes: part.withUnsafeBytes { Array($0) })
  }

  /// The encoder's configuration with what the head needs.
  private func configuration() throws -> JSONObjectFile {
    var root = try JSONObjectFile(path: source.folder + "/config.json")
    for key in ["_name_or_path", "torch_dtype"] { root.values[key] = nil }
    root.values["dtype"] = "float32"
    guard student.kind == .interaction else {
      root.values["architectures"] = ["BertModel"]
      return root
    }
    let names = student.shape.labels.names
    root.values["architectures"] = ["BertForSequenceClassification"]
    root.values["problem_type"] = "single_label_classification"
    root.values["id2label"] = Dictionary(uniqueKeysWithValues: names.enumerated().map { ("\($0)", $1) })
    root.values["label2id"] = Dictionary(uniqueKeysWithValues: names.enumerated().map { ($1, $0) })
    return root
  }

  private func sentenceModules(_ folder: String) throws {
    let width = student.encoder.configuration.hiddenSize
    try Folder.make(folder + "/1_Pooling")
    try JSONObjectFile([
      "word_embedding_dimension": width, "pooling_mode_cls_token": false, "pooling_mode_mean_tokens": true,
      "pooling_mode_max_tokens": false, "pooling_mode_mean_sqrt_len_tokens": false,
    ]).write(to: folder + "/1_Pooling/config.json")
    try JSONObjectFile(["max_seq_length": maximumLength, "do_lower_case": false]).write(
      to: folder + "/sentence_bert_config.json")
    let modules = [("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")]
    let entries = modules.enumerated().map { index, module in
      "{\"idx\": \(index), \"name\": \"\(index)\", \"path\": \"\(module.0)\", "
        + "\"type\": \"sentence_transformers.models.\(module.1)\"}"
    }
    try Folder.make(folder + "/2_Normalize")
    try AtomicText.write("[\n  " + entries.joined(separator: ",\n  ") + "\n]\n", to: folder + "/modules.json")
  }

  private func copy(_ from: String, to path: String) throws {
    let (file, target) = (try MappedFile(path: from), try AtomicFile(path: path))
    try withExtendedLifetime(file) {
      try target.write(bytes: UnsafeRawBufferPointer(rebasing: file.bytes[...]))
    }
    try target.commit()
  }
}

/// Text files that appear whole or not at all.
enum AtomicText {
  static func write(_ text: String, to path: String) throws {
    let file = try AtomicFile(path: path)
    try file.write(text)
    try file.commit()
  }

  /// Keys sorted, so that equal values are equal bytes.
  static func write(json value: some Encodable, to path: String) throws {
    let encoder = JSONEncoder()
    encoder.outputFormatting = [.sortedKeys, .prettyPrinted, .withoutEscapingSlashes]
    try write(String(decoding: encoder.encode(value), as: UTF8.self) + "\n", to: path)
  }
}

/// A JSON object of which some keys are changed and the others kept.
struct JSONObjectFile {
  var values: [String: Any]

  init(_ values: [String: Any]) { self.values = values }

  init(path: String) throws {
    let file = try MappedFile(path: path)
    let data = withExtendedLifetime(file) { Data(file.bytes) }
    guard let values = (try? JSONSerialization.jsonObject(with: data)) as? [String: Any] else {
      throw RetortError(
        .malformedFile, "not a JSON object", file: path, remedy: "Fetch the model again.")
    }
    self.values = values
  }

  func write(to path: String) throws {
    let data = try JSONSerialization.data(
      withJSONObject: values, options: [.sortedKeys, .prettyPrinted, .withoutEscapingSlashes])
    try AtomicText.write(String(decoding: data, as: UTF8.self) + "\n", to: path)
  }
}
