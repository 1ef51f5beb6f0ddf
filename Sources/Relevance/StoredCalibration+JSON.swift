import Basics

extension StoredCalibration {
  /// The file's format; other numbers are refused.
  static let format = 1
  /// A calibration is a few lines; more than this is another file.
  static let maximumFileBytes = 1 << 20

  /// The file's text: the same calibration gives the same bytes.
  public var json: String {
    var writer = JSONWriter()
    writer.object { root in
      root.field("format", StoredCalibration.format)
      root.field("name", calibration.name)
      root.field("temperature", calibration.temperature)
      root.key("labels")
      root.array(Array(basis.labels.indices)) { writer, index in
        writer.object { entry in
          entry.field("name", basis.labels[index])
          entry.field("bias", calibration.bias.indices.contains(index) ? calibration.bias[index] : 0)
          entry.field("pairs", counts.indices.contains(index) ? counts[index] : 0)
        }
      }
      root.field("model", basis.model)
      root.field("model_files", basis.modelFingerprint)
      root.field("prompt_hash", basis.promptHash)
      root.key("settings")
      root.object { entry in
        for (name, value) in basis.settings.sorted(by: { $0.key < $1.key }) { entry.field(name, value) }
      }
      for (name, quality) in [("before", before), ("after", after), ("held_out", heldOut ?? after)]
      where name != "held_out" || heldOut != nil {
        root.key(name)
        root.object { entry in
          entry.field("pairs", quality.count)
          entry.field("log_loss", quality.logLoss)
          entry.field("calibration_error", quality.calibrationError)
          entry.field("accuracy", quality.accuracy)
        }
      }
    }
    return writer.text + "\n"
  }

  /// Reads a calibration's file.
  ///
  /// - Throws: `fileUnavailable`; `malformedFile` with the field; `unsupported` where a newer version wrote it.
  public init(path: String) throws {
    let file = try MappedFile(path: path)
    do {
      guard file.bytes.count <= StoredCalibration.maximumFileBytes else {
        throw StoredCalibration.malformed("it is too long for a calibration", nil)
      }
      try self.init(json: Array(file.bytes))
    } catch let error as RetortError {
      throw error.naming(file: path)
    }
  }

  /// - Throws: as ``init(path:)``.
  init(json bytes: [UInt8]) throws {
    guard let value = try? JSONValue.parse(bytes), case .object(let root) = value else {
      throw StoredCalibration.malformed("it is not a JSON object", nil)
    }
    let fields = Fields(root)
    guard try fields.number("format") == Double(StoredCalibration.format) else {
      throw RetortError(
        .unsupported, "the calibration has another format than \(StoredCalibration.format)", field: "format",
        remedy: "Use the version of Retort that fitted it, or fit it again with --calibrate.")
    }
    guard case .array(let items)? = root["labels"], items.count >= 2 else {
      throw StoredCalibration.malformed("there is no list of labels", "labels")
    }
    let labels = try items.enumerated().map { index, item in
      guard case .object(let entry) = item else {
        throw StoredCalibration.malformed("expected an object", "labels[\(index)]")
      }
      return Fields(entry, "labels[\(index)].")
    }
    var settings: [String: String] = [:]
    if case .object(let entries)? = root["settings"] {
      let reader = Fields(entries, "settings.")
      for name in entries.keys { settings[name] = try reader.text(name) }
    }
    self.init(
      calibration: try LabelCalibration(
        name: fields.text("name"), temperature: fields.number("temperature"),
        bias: labels.map { try $0.number("bias") }),
      basis: Basis(
        model: try fields.text("model"), modelFingerprint: try fields.text("model_files"),
        promptHash: try fields.text("prompt_hash"), labels: try labels.map { try $0.text("name") },
        settings: settings),
      counts: try labels.map { try $0.count("pairs") }, before: try fields.quality("before"),
      after: try fields.quality("after"),
      heldOut: root["held_out"] == nil ? nil : try fields.quality("held_out"))
  }

  static func malformed(_ message: String, _ field: String?) -> RetortError {
    RetortError(
      .malformedFile, message, field: field,
      remedy: "Fit the calibration again with 'retort label --calibrate'.")
  }

  /// Fields of an object that must be there.
  private struct Fields {
    let values: [String: JSONValue]
    let prefix: String

    init(_ values: [String: JSONValue], _ prefix: String = "") {
      self.values = values
      self.prefix = prefix
    }

    func number(_ name: String) throws -> Double {
      guard case .number(let digits)? = values[name], let number = Double(digits), number.isFinite else {
        throw malformed("expected a number", prefix + name)
      }
      return number
    }

    func count(_ name: String) throws -> Int {
      guard let count = Int(exactly: try number(name)), count >= 0 else {
        throw malformed("expected a count", prefix + name)
      }
      return count
    }

    func text(_ name: String) throws -> String {
      guard case .string(let text)? = values[name] else {
        throw malformed("expected a string", prefix + name)
      }
      return text
    }

    func quality(_ name: String) throws -> CalibrationQuality {
      guard case .object(let entry)? = values[name] else {
        throw malformed("expected an object", prefix + name)
      }
      let fields = Fields(entry, name + ".")
      return CalibrationQuality(
        count: try fields.count("pairs"), logLoss: try fields.number("log_loss"),
        calibrationError: try fields.number("calibration_error"), accuracy: try fields.number("accuracy"))
    }
  }
}
