import Basics
import Tokenizers

/// Objects, arrays, any value, and which schemas have no value in common.
extension JSONSchemaCompiler {
  /// Any JSON value.
  mutating func anyValue() -> GrammarNode {
    if let index = shared[.value] { return .rule(index) }
    let index = rules.count
    shared[.value] = index
    rules.append(GrammarRule(name: "value", node: .choice([])))
    let string = anyString()
    let member = GrammarNode.sequence([string, .text(": "), .rule(index)])
    rules[index].node = .choice([
      string, number(), .text("true"), .text("false"), .text("null"),
      .sequence([.text("{"), .optional(JSONSchemaCompiler.list(member)), .text("}")]),
      .sequence([.text("["), .optional(JSONSchemaCompiler.list(.rule(index))), .text("]")]),
    ])
    return .rule(index)
  }

  /// One element or more, with commas between.
  private static func list(_ element: GrammarNode) -> GrammarNode {
    .sequence([element, .zeroOrMore(.sequence([.text(", "), element]))])
  }

  // MARK: Objects

  private struct Property {
    var name: String
    var entry: GrammarNode
    var isRequired: Bool
  }

  mutating func object(_ schema: JSONValue, at path: String) throws -> GrammarNode {
    var declared: [JSONValue.Member] = []
    if let properties = schema["properties"] {
      guard let members = properties.members else {
        throw malformed("an object is needed", at: path + "/properties")
      }
      // Of two members with one name the last counts.
      for (index, member) in members.enumerated()
      where !members[(index + 1)...].contains(where: {
        $0.key.unicodeScalars.elementsEqual(member.key.unicodeScalars)
      }) {
        declared.append(member)
      }
    }
    var required: [String] = []
    if let list = schema["required"] {
      required = (list.asArray ?? []).compactMap(\.asString)
      guard required.count == list.asArray?.count else {
        throw malformed("a list of names is needed", at: path + "/required")
      }
    }
    let additional = schema["additionalProperties"] ?? .bool(schema["properties"] == nil)
    let open = try additional.asBool == false ? nil : node(additional, at: path + "/additionalProperties")
    var properties: [Property] = []
    for member in declared {
      let place = "\(path)/properties/\(JSONSchemaCompiler.pointer(member.key))"
      let entry = addRule(
        place, .sequence([.text(JSONValue.quote(member.key) + ": "), try node(member.value, at: place)]))
      properties.append(Property(name: member.key, entry: entry, isRequired: required.contains(member.key)))
    }
    let names = Set(properties.map(\.name))
    for name in required where !names.contains(name) && !properties.contains(where: { $0.name == name }) {
      guard let open else {
        throw malformed(
          "\"\(name.prefix(64))\" is required, but not among the properties", at: path + "/required")
      }
      let entry = GrammarNode.sequence([.text(JSONValue.quote(name) + ": "), open])
      properties.append(Property(name: name, entry: entry, isRequired: true))
    }
    return try members(properties, open, at: path)
  }

  /// Properties in order, each with its comma, then the additional ones.
  private mutating func members(
    _ properties: [Property], _ open: GrammarNode?, at path: String
  ) throws -> GrammarNode {
    // What may follow when nothing has been written yet, and when something has.
    var first = GrammarNode.empty
    var rest = GrammarNode.empty
    if let open {
      let name = nameOutside(properties.map(\.name), at: path)
      let member = addRule(path + "/*", .sequence([.text("\""), name, .text("\": "), open]))
      first = .optional(JSONSchemaCompiler.list(member))
      rest = .zeroOrMore(.sequence([.text(", "), member]))
    }
    for property in properties.reversed() {
      let after = addRule("\(path)/properties", rest)
      let with = GrammarNode.sequence([property.entry, after])
      let withComma = GrammarNode.sequence([.text(", "), property.entry, after])
      if property.isRequired {
        first = with
        rest = withComma
      } else {
        first = .choice([with, addRule("\(path)/properties", first)])
        rest = .choice([withComma, after])
      }
    }
    return .sequence([.text("{"), first, .text("}")])
  }

  /// The strings, without quotes, that are none of these names: a trie of the names with ways out of it.
  private mutating func nameOutside(_ names: [String], at path: String) -> GrammarNode {
    let anything = GrammarNode.zeroOrMore(character(.all))
    guard !names.isEmpty else { return anything }
    var children: [[(scalar: UInt32, node: Int)]] = [[]]
    var isName = [false]
    for name in names {
      var at = 0
      for scalar in name.unicodeScalars {
        if let next = children[at].first(where: { $0.scalar == scalar.value }) {
          at = next.node
        } else {
          children[at].append((scalar.value, children.count))
          at = children.count
          children.append([])
          isName.append(false)
        }
      }
      isName[at] = true
    }
    // Children have higher numbers, so building from the last one meets them ready.
    var built = [GrammarNode](repeating: .empty, count: children.count)
    for index in children.indices.reversed() {
      let known = ScalarSet(children[index].map { $0.scalar...$0.scalar })
      var options: [GrammarNode] = [.sequence([character(known.inverted), anything])]
      for child in children[index] {
        options.append(.sequence([character(ScalarSet(child.scalar)), built[child.node]]))
      }
      if !isName[index] { options.append(.empty) }
      built[index] = addRule(path + "/additionalProperties", .choice(options))
    }
    return built[0]
  }

  /// A key as a step of a JSON pointer.
  static func pointer(_ key: String) -> String {
    key.replacing("~", with: "~0").replacing("/", with: "~1")
  }

  // MARK: Arrays

  mutating func array(_ schema: JSONValue, at path: String) throws -> GrammarNode {
    let least = try count("minItems", schema, at: path) ?? 0
    var most = try count("maxItems", schema, at: path)
    let prefix = try schema["prefixItems"].map { list in
      guard let list = list.asArray else { throw malformed("a list is needed", at: path + "/prefixItems") }
      return list
    }
    let items = schema["items"] ?? .bool(prefix == nil)
    if items.asBool == false { most = min(most ?? .max, prefix?.count ?? 0) }
    if let most, most < least { throw malformed("no number of items is within the bounds", at: path) }
    let heads = try (prefix ?? []).prefix(most ?? .max).enumerated().map {
      let place = "\(path)/prefixItems/\($0)"
      return addRule(place, try node($1, at: place))
    }
    var body = GrammarNode.empty
    if most ?? .max > heads.count {
      let item = addRule(path + "/items", try node(items, at: path + "/items"))
      body = repeated(
        item, from: max(0, least - heads.count), to: most.map { $0 - heads.count }, isFirst: heads.isEmpty)
    }
    for (index, head) in heads.enumerated().reversed() {
      let here = GrammarNode.sequence([index == 0 ? .empty : .text(", "), head, body])
      // A rule of its own keeps the tree flat.
      body = addRule("\(path)/prefixItems", index < least ? here : .optional(here))
    }
    return .sequence([.text("["), body, .text("]")])
  }

  private func repeated(_ item: GrammarNode, from least: Int, to most: Int?, isFirst: Bool) -> GrammarNode {
    let next = GrammarNode.sequence([.text(", "), item])
    guard isFirst else { return .repetition(next, atLeast: least, atMost: most) }
    let all = GrammarNode.sequence([
      item, .repetition(next, atLeast: max(0, least - 1), atMost: most.map { max(0, $0 - 1) }),
    ])
    return least > 0 ? all : .optional(all)
  }

  // MARK: Disjoint schemas

  /// Whether it is plain that no value is valid under both: by type, by listed values, or by a property that both
  /// require with different values.
  func areDisjoint(_ left: JSONValue, _ right: JSONValue, depth: Int) -> Bool {
    guard depth < 8, let left = target(left, 0), let right = target(right, 0) else { return false }
    if let a = values(left), let b = values(right) { return Set(a).isDisjoint(with: b) }
    guard let a = kinds(left), let b = kinds(right) else { return false }
    if a.isDisjoint(with: b) { return true }
    guard a == ["object"], b == ["object"] else { return false }
    let names = requiredNames(left).intersection(requiredNames(right))
    return names.contains { name in
      guard let a = left["properties"]?[name], let b = right["properties"]?[name] else { return false }
      return areDisjoint(a, b, depth: depth + 1)
    }
  }

  private func target(_ schema: JSONValue, _ depth: Int) -> JSONValue? {
    guard let reference = schema["$ref"] else { return schema }
    guard depth < 8, let text = reference.asString, let next = try? resolve(text, from: "#") else {
      return nil
    }
    return target(next, depth + 1)
  }

  private func values(_ schema: JSONValue) -> [String]? {
    schema["const"].map { [$0.jsonText] } ?? schema["enum"]?.asArray?.map(\.jsonText)
  }

  private func kinds(_ schema: JSONValue) -> Set<String>? {
    if let const = schema["const"] { return [const.jsonType] }
    if let list = schema["enum"]?.asArray { return Set(list.map(\.jsonType)) }
    guard let names = try? types(schema, at: "#") else { return nil }
    return Set(names.map { $0 == "integer" ? "number" : $0 })
  }

  private func requiredNames(_ schema: JSONValue) -> Set<String> {
    Set((schema["required"]?.asArray ?? []).compactMap(\.asString))
  }
}
