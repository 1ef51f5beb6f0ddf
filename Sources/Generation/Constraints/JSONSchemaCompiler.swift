import Basics
import Tokenizers

/// Turns a JSON Schema (2020-12) into grammar rules.
///
/// The texts are JSON in one layout: `{"a": 1, "b": [2, 3]}`, a space after each comma and colon, no other white
/// space; properties in the schema's order; in strings only `"`, `\` and control characters escaped. Every text is
/// valid under the schema; of the valid values these are left out: properties in another order, additional
/// properties where `additionalProperties` is absent beside `properties`, items past `prefixItems` where `items` is
/// absent, whole numbers written as `1.0` or `1e2` for `integer`, numbers of more than 200 digits or with an exponent
/// of more than two. Keywords of assertion that are not implemented
/// are refused with their path. Rules are named by JSON pointers.
struct JSONSchemaCompiler {
  let document: JSONValue
  var rules: [GrammarRule] = []
  private var references: [String: Int] = [:]
  var shared: [SharedRule: Int] = [:]

  /// Rules that schemas have in common.
  enum SharedRule: Hashable {
    case value, string, number, integer
    case characters(ScalarSet)
  }

  static let annotations: Set<String> = [
    "title", "description", "default", "examples", "$schema", "$id", "$comment", "$defs", "definitions",
    "deprecated", "readOnly", "writeOnly", "contentMediaType", "contentEncoding",
  ]

  static let keywords: [String: Set<String>] = [
    "null": [], "boolean": [], "number": [],
    "integer": ["minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"],
    "string": ["pattern", "minLength", "maxLength", "format"],
    "array": ["items", "prefixItems", "minItems", "maxItems"],
    "object": ["properties", "required", "additionalProperties"],
  ]

  init(_ text: String) throws {
    guard text.utf8.count <= Grammar.longestText else {
      throw RetortError(
        .malformedFile, "the schema is \(text.utf8.count) bytes long", remedy: "Write a shorter schema.")
    }
    do {
      document = try Array(text.utf8).withUnsafeBufferPointer { try JSONParser.parse($0) }
    } catch let error as RetortError {
      throw RetortError(
        error.code, error.message, position: error.position, remedy: "Correct the schema's JSON there.")
    }
  }

  /// The rules and the root's index.
  mutating func compile() throws -> (rules: [GrammarRule], root: Int) {
    let root = try reference("#", from: "#")
    return (rules, root)
  }

  mutating func addRule(_ name: String, _ node: GrammarNode) -> GrammarNode {
    rules.append(GrammarRule(name: name, node: node))
    return .rule(rules.count - 1)
  }

  // MARK: Schemas

  /// The values of the schema at a place.
  mutating func node(_ schema: JSONValue, at path: String) throws -> GrammarNode {
    if let isAny = schema.asBool { return isAny ? anyValue() : .choice([]) }
    guard let members = schema.members else {
      throw malformed("a schema is an object, true or false", at: path)
    }
    if let target = schema["$ref"] {
      try check(members, allowed: ["$ref"], at: path)
      guard let target = target.asString else { throw malformed("not a text", at: path + "/$ref") }
      return .rule(try reference(target, from: path + "/$ref"))
    }
    if schema["const"] != nil || schema["enum"] != nil { return try values(schema, members, at: path) }
    for name in ["anyOf", "oneOf", "allOf"] where schema[name] != nil {
      try check(members, allowed: [name], at: path)
      return try combination(name, schema, at: path)
    }
    return try typed(schema, members, at: path)
  }

  private mutating func combination(
    _ name: String, _ schema: JSONValue, at path: String
  ) throws -> GrammarNode {
    let path = "\(path)/\(name)"
    guard let options = schema[name]?.asArray, !options.isEmpty else {
      throw malformed("a list of schemas is needed", at: path)
    }
    if name == "allOf", options.count > 1 { throw unsupported("allOf of several schemas", at: path) }
    if name == "oneOf" {
      for second in options.indices {
        for first in 0..<second where !areDisjoint(options[first], options[second], depth: 0) {
          throw unsupported("oneOf whose schemas \(first) and \(second) may overlap", at: path)
        }
      }
    }
    return .choice(try options.enumerated().map { try node($1, at: "\(path)/\($0)") })
  }

  private func values(
    _ schema: JSONValue, _ members: [JSONValue.Member], at path: String
  ) throws -> GrammarNode {
    try check(members, allowed: ["const", "enum", "type"], at: path)
    var values = try schema["enum"].map { list in
      guard let list = list.asArray else { throw malformed("a list is needed", at: path + "/enum") }
      return list
    }
    if let const = schema["const"] {
      // Both together allow the constant where the list has it.
      let text = const.jsonText
      values = values == nil || values?.contains { $0.jsonText == text } == true ? [const] : []
    }
    let types = try self.types(schema, at: path)
    let texts = (values ?? []).filter { types?.contains($0.jsonType) ?? true || isWhole($0, types) }
      .map(\.jsonText)
    guard !texts.isEmpty else { throw malformed("no value is allowed", at: path) }
    return .choice(texts.map { .text($0) })
  }

  private func isWhole(_ value: JSONValue, _ types: [String]?) -> Bool {
    guard case .number(let number) = value, number == number.rounded() else { return false }
    return types?.contains("integer") ?? true
  }

  /// The names in `type`, or `nil` without one.
  func types(_ schema: JSONValue, at path: String) throws -> [String]? {
    guard let type = schema["type"] else { return nil }
    let names = type.asString.map { [$0] } ?? (type.asArray ?? []).compactMap(\.asString)
    guard !names.isEmpty, names.count == type.asArray?.count ?? 1,
      names.allSatisfy({ JSONSchemaCompiler.keywords[$0] != nil })
    else { throw malformed("not a type or a list of types", at: path + "/type") }
    return names
  }

  private mutating func typed(
    _ schema: JSONValue, _ members: [JSONValue.Member], at path: String
  ) throws -> GrammarNode {
    let given = members.map(\.key).filter {
      !JSONSchemaCompiler.annotations.contains($0) && !$0.hasPrefix("x-") && $0 != "type"
    }
    var names = try types(schema, at: path) ?? []
    if names.isEmpty {
      if given.isEmpty { return anyValue() }
      names = ["object", "array", "string", "integer"].filter { name in
        given.contains { JSONSchemaCompiler.keywords[name]?.contains($0) == true }
      }
    }
    // Every integer is a number already.
    if names.contains("number") { names.removeAll { $0 == "integer" } }
    var allowed: Set<String> = ["type"]
    for name in names { allowed.formUnion(JSONSchemaCompiler.keywords[name] ?? []) }
    if schema["uniqueItems"]?.asBool == false { allowed.insert("uniqueItems") }
    try check(members, allowed: allowed, at: path)
    let options = try names.map { name in
      switch name {
      case "null": return GrammarNode.text("null")
      case "boolean": return .choice([.text("true"), .text("false")])
      case "number": return number()
      case "integer": return try integer(schema, at: path)
      case "string": return try string(schema, at: path)
      case "array": return try array(schema, at: path)
      default: return try object(schema, at: path)
      }
    }
    return options.count == 1 ? options[0] : .choice(options)
  }

  // MARK: References

  /// The rule of the schema that a reference leads to.
  private mutating func reference(_ target: String, from path: String) throws -> Int {
    if let index = references[target] { return index }
    let schema = try resolve(target, from: path)
    let index = rules.count
    references[target] = index
    rules.append(GrammarRule(name: target, node: .choice([])))
    rules[index].node = try node(schema, at: target)
    return index
  }

  func resolve(_ target: String, from path: String) throws -> JSONValue {
    guard target == "#" || target.hasPrefix("#/") else {
      throw unsupported("a reference to \"\(target.prefix(64))\" outside the schema", at: path)
    }
    var result = document
    for step in target.split(separator: "/", omittingEmptySubsequences: false).dropFirst() {
      let key = (String(step).removingPercentEncoding ?? String(step))
        .replacing("~1", with: "/").replacing("~0", with: "~")
      let list = result.asArray
      if let list, let index = Int(key), list.indices.contains(index) {
        result = list[index]
      } else if let value = result[key] {
        result = value
      } else {
        throw malformed("nothing is at \"\(target.prefix(64))\"", at: path)
      }
    }
    return result
  }

  // MARK: Errors

  /// Refuses keywords that would be ignored.
  func check(_ members: [JSONValue.Member], allowed: Set<String>, at path: String) throws {
    for member in members
    where !allowed.contains(member.key) && !JSONSchemaCompiler.annotations.contains(member.key)
      && !member.key.hasPrefix("x-")
    {
      throw unsupported("\"\(member.key.prefix(64))\" here", at: "\(path)/\(member.key.prefix(64))")
    }
  }

  func unsupported(_ what: String, at path: String) -> RetortError {
    RetortError(
      .unsupported, "the schema asks for \(what), which is not supported", field: path,
      remedy: "Write the schema without it, for example with anyOf of plain schemas, or use --grammar.")
  }

  func malformed(_ what: String, at path: String) -> RetortError {
    RetortError(.malformedFile, what, field: path, remedy: "Correct the schema there.")
  }
}
