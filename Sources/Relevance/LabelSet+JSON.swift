import Basics

extension LabelSet {
  /// Label files are a few lines; more than this is a wrong file.
  static let maximumFileBytes = 1 << 20

  /// Reads a `labels.json` file.
  ///
  /// - Throws: `fileUnavailable` or `malformedFile` with the file, the field and what to do.
  public init(path: String) throws {
    let file = try MappedFile(path: path)
    guard file.bytes.count <= LabelSet.maximumFileBytes else {
      throw RetortError(
        .malformedFile,
        "a label file has at most \(LabelSet.maximumFileBytes) bytes, found \(file.bytes.count)",
        file: path, remedy: "Pass a JSON file with an array \"labels\".")
    }
    do {
      try self.init(json: Array(file.bytes))
    } catch let error as RetortError {
      throw error.naming(file: path)
    }
  }

  /// Parses `{"labels": [{"name": …, "gain": …, "definition": …}, …]}`; the definition may be left out.
  ///
  /// - Throws: `malformedFile` naming the field or the byte.
  public init(json bytes: [UInt8]) throws {
    let root: JSONValue
    do {
      root = try JSONValue.parse(bytes)
    } catch let problem as JSONProblem {
      throw RetortError(
        .malformedFile, "not valid JSON: \(problem.message)", position: "byte \(problem.offset)",
        remedy: "Correct the JSON at that place.")
    }
    guard case .object(let fields) = root, case .array(let items)? = fields["labels"] else {
      throw LabelSet.problem(
        "there is no array \"labels\"", field: "labels",
        remedy: "Write {\"labels\": [{\"name\": \"exact\", \"gain\": 1, \"definition\": \"…\"}, …]}.")
    }
    try self.init(items.enumerated().map { try LabelSet.label($0.element, index: $0.offset) })
  }

  private static func label(_ value: JSONValue, index: Int) throws -> Label {
    let place = "labels[\(index)]"
    guard case .object(let fields) = value else {
      throw problem(
        "expected an object, found \(value.kind)", field: place,
        remedy: "Write {\"name\": …, \"gain\": …, \"definition\": …}.")
    }
    guard case .string(let name)? = fields["name"] else {
      throw problem(
        "the name is missing or not a string", field: place + ".name",
        remedy: "Give the label a name in quotes.")
    }
    guard case .number(let digits)? = fields["gain"], let gain = Double(digits), gain.isFinite else {
      throw problem(
        "the gain is missing or not a finite number", field: place + ".gain",
        remedy: "Give the label a number such as 0.5, without quotes.")
    }
    switch fields["definition"] {
    case .string(let text): return Label(name: name, gain: gain, definition: text)
    case nil, .null: return Label(name: name, gain: gain)
    case .some(let other):
      throw problem(
        "expected a string, found \(other.kind)", field: place + ".definition",
        remedy: "Write the definition in quotes or leave it out.")
    }
  }

  /// The set as JSON with a fixed key order: the same labels give the same bytes.
  public var json: String {
    var writer = JSONWriter()
    writer.object { root in
      root.key("labels")
      root.array(labels) { writer, label in
        writer.object { entry in
          entry.field("name", label.name)
          entry.field("gain", label.gain)
          entry.field("definition", label.definition)
        }
      }
    }
    return writer.text
  }
}
