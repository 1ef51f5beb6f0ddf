import Basics
import Foundation
import Testing

@testable import Generation

@Suite struct JSONSchemaTests {
  struct Case: Decodable {
    var schema: String
    var valid: [String]
    var invalid: [String]
    var unwritten: [String]
  }

  static func cases() throws -> [Case] {
    let file = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
      .deletingLastPathComponent().appending(path: "Fixtures/json-schemas/cases.json")
    return try JSONDecoder().decode([Case].self, from: Data(contentsOf: file))
  }

  @Test("Values are read exactly where the jsonschema package finds them valid, but for the forms left out")
  func verdicts() throws {
    let cases = try JSONSchemaTests.cases()
    #expect(cases.count >= 30)
    for item in cases {
      let constraint = try TokenConstraint(try Grammar(jsonSchema: item.schema))
      for text in item.valid { #expect(try constraint.accepts(text), "\(item.schema) valid \(text)") }
      for text in item.invalid + item.unwritten {
        #expect(try !constraint.accepts(text), "\(item.schema) invalid or left out \(text)")
      }
    }
  }

  @Test("What a schema's grammar writes is JSON, and its shortest text too")
  func isJSON() throws {
    for (index, item) in try JSONSchemaTests.cases().enumerated() {
      let grammar = try Grammar(jsonSchema: item.schema)
      var writer = GrammarWriter(grammar: grammar, random: .init(UInt64(index)), deepest: 20)
      let constraint = try TokenConstraint(grammar)
      var texts = (0..<10).compactMap { _ in writer.text() }
      texts.append(try constraint.shortestCompletion(constraint.start))
      for text in texts {
        #expect(try constraint.accepts(text))
        #expect(throws: Never.self, "\(item.schema) \(String(decoding: text, as: UTF8.self))") {
          try JSONSerialization.jsonObject(with: Data(text), options: .fragmentsAllowed)
        }
      }
    }
  }

  @Test(
    "What is not supported is refused with its path, and what is not a schema with its place",
    arguments: [
      (
        #"{"properties": {"a": {"type": "string", "contains": 1}}}"#, "#/properties/a/contains", "unsupported"
      ),
      (#"{"type": "number", "minimum": 0}"#, "#/minimum", "unsupported"),
      (#"{"type": "integer", "multipleOf": 2}"#, "#/multipleOf", "unsupported"),
      (#"{"type": "array", "uniqueItems": true}"#, "#/uniqueItems", "unsupported"),
      (#"{"type": "string", "format": "iri"}"#, "#/format", "unsupported"),
      (#"{"type": "string", "pattern": "a", "minLength": 2}"#, "#/minLength", "unsupported"),
      (#"{"type": "string", "pattern": "(?=a)"}"#, "#/pattern", "unsupported"),
      (#"{"type": "string", "pattern": "("}"#, "#/pattern", "malformed-file"),
      (#"{"oneOf": [{"type": "integer"}, {"type": "number"}]}"#, "#/oneOf", "unsupported"),
      (#"{"oneOf": [{}, {"type": "number"}]}"#, "#/oneOf", "unsupported"),
      (#"{"allOf": [{"type": "integer"}, {"minimum": 1}]}"#, "#/allOf", "unsupported"),
      (#"{"anyOf": [{"not": {}}]}"#, "#/anyOf/0/not", "unsupported"),
      (#"{"anyOf": []}"#, "#/anyOf", "malformed-file"),
      (#"{"$ref": "other.json#/a"}"#, "#/$ref", "unsupported"),
      (##"{"$ref": "#/$defs/a"}"##, "#/$ref", "malformed-file"),
      (##"{"$ref": "#"}"##, "#", "malformed-file"),
      (
        ##"{"$defs": {"a": {"anyOf": [{"$ref": "#/$defs/a"}]}}, "$ref": "#/$defs/a"}"##, "#/$defs/a",
        "malformed-file"
      ),
      (#"{"type": "text"}"#, "#/type", "malformed-file"),
      (#"{"type": "integer", "minimum": 3, "maximum": 2}"#, "#", "malformed-file"),
      (#"{"type": "integer", "minimum": 1e300}"#, "#/minimum", "unsupported"),
      (#"{"type": "string", "minLength": -1}"#, "#/minLength", "malformed-file"),
      (#"{"type": "array", "items": 3}"#, "#/items", "malformed-file"),
      (#"{"type": "array", "minItems": 3, "maxItems": 2}"#, "#", "malformed-file"),
      (#"{"required": ["b"], "properties": {}}"#, "#/required", "malformed-file"),
      (#"{"enum": []}"#, "#", "malformed-file"),
      (#"{"const": 1, "type": "string"}"#, "#", "malformed-file"),
      (#"{"patternProperties": {}}"#, "#/patternProperties", "unsupported"),
      (#"[1]"#, "#", "malformed-file"),
    ])
  func refused(schema: String, path: String, code: String) throws {
    let error = try #require(thrown { _ = try Grammar(jsonSchema: schema, file: "s.json") })
    #expect(error.field == path, "\(error)")
    #expect(error.code.rawValue == code, "\(error)")
    #expect(error.file == "s.json")
    #expect(!error.remedy.isEmpty)
  }

  @Test("A schema that no value meets, or that never ends, is refused when it is compiled")
  func unsatisfiable() throws {
    for schema in [
      "false", #"{"type": "array", "minItems": 1, "items": false}"#,
      ##"{"properties": {"a": {"$ref": "#"}}, "required": ["a"]}"##,
    ] {
      let error = thrown { _ = try TokenConstraint(try Grammar(jsonSchema: schema)) }
      #expect(error?.code == .malformedFile, "\(schema)")
    }
    #expect(thrown { _ = try Grammar(jsonSchema: "{\"a\"") }?.position == "byte 4")
  }
}
