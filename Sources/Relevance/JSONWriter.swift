import Basics

/// Writes compact JSON with the keys in the order given, so that equal values give equal bytes.
///
/// Numbers take the shortest text that reads back to the same Double. Characters that some readers take for the
/// end of a line (U+0085, U+2028, U+2029) are escaped, so that a record always stays on its line.
struct JSONWriter {
  private(set) var text = ""
  private var needsComma = false

  /// Writes `{…}`; `body` writes the fields.
  mutating func object(_ body: (inout JSONWriter) -> Void) {
    open("{")
    body(&self)
    close("}")
  }

  /// Writes `[…]` with one element per item.
  mutating func array<Item>(_ items: [Item], _ element: (inout JSONWriter, Item) -> Void) {
    open("[")
    for item in items { element(&self, item) }
    close("]")
  }

  mutating func key(_ name: String) {
    separate()
    quote(name)
    text += ":"
    needsComma = false
  }

  mutating func field(_ name: String, _ value: String?) {
    key(name)
    string(value)
  }

  mutating func field(_ name: String, _ value: Double) {
    key(name)
    separate()
    // JSON has no word for these.
    text += value.isFinite ? value.description : "null"
    needsComma = true
  }

  mutating func field(_ name: String, _ value: Int) {
    key(name)
    separate()
    text += String(value)
    needsComma = true
  }

  mutating func field(_ name: String, _ value: Bool) {
    key(name)
    separate()
    text += value ? "true" : "false"
    needsComma = true
  }

  mutating func string(_ value: String?) {
    separate()
    if let value { quote(value) } else { text += "null" }
    needsComma = true
  }

  private mutating func open(_ bracket: String) {
    separate()
    text += bracket
    needsComma = false
  }

  private mutating func close(_ bracket: String) {
    text += bracket
    needsComma = true
  }

  private mutating func separate() {
    if needsComma { text += "," }
  }

  private mutating func quote(_ value: String) {
    text += JSONText.quoted(value, escaping: \.breaksLine)
  }
}
