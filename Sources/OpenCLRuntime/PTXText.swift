import Basics

/// PTX text, as NVIDIA's driver gives it for a program's binary and takes it back.
///
/// Kernels hold instructions of `sm_90a`, which the driver's compiler does not target, as comments `/*sm_90a … */`
/// (Kernels/nvidia/warpgroup.opencl); ``withInstructionsOfSM90a()`` makes instructions of them.
struct PTXText: Sendable, Equatable {
  /// Raised when texts are rewritten otherwise, so that kept programs are made anew.
  static let revision = 1

  let text: String
  /// Whether a zero byte ends the binary: a driver that writes one may look for it.
  private var endsWithZero = false

  init(_ text: String) { self.text = text }

  /// - Throws: `unsupported` where the binary is not PTX text.
  init(binary: [UInt8]) throws {
    text = String(decoding: binary.prefix { $0 != 0 }, as: UTF8.self)
    endsWithZero = binary.contains(0)
    guard text.contains(".version"), text.contains(".target sm_") else {
      throw Self.refusal("the binary is not PTX text")
    }
  }

  var bytes: [UInt8] { Array(text.utf8) + (endsWithZero ? [0] : []) }

  /// What follows `.target` up to a comma, blank or the line's end.
  var target: String { word(after: ".target ") ?? "" }

  /// The same text for another target.
  func retargeted(_ target: String) -> PTXText { replacing(wordAfter: ".target ", with: target) }

  /// The same text with a `wgmma.fence` before the first return.
  func withFence() -> PTXText {
    guard let place = text.firstRange(of: "ret;")?.lowerBound else { return self }
    return with(text[..<place] + "wgmma.fence.sync.aligned;\n" + text[place...])
  }

  /// The same program for `sm_90a`, with instructions where comments hold them.
  ///
  /// - Throws: `unsupported` where there are none, or where the compiler computes with sums while products that add to
  ///   them may be under way: PTX leaves open what such a program computes.
  func withInstructionsOfSM90a() throws -> PTXText {
    var result = ""
    var rest = text[...]
    while let start = rest.firstRange(of: "/*sm_90a ") {
      guard let end = rest[start.upperBound...].firstRange(of: "*/") else {
        throw Self.refusal("a comment with instructions does not end")
      }
      result += rest[..<start.lowerBound]
      result += rest[start.upperBound..<end.lowerBound]
      rest = rest[end.upperBound...]
    }
    guard !result.isEmpty else { throw Self.refusal("the compiler kept no instructions of sm_90a") }
    let whole = with(result + rest).retargeted("sm_90a").withVersion(8)
    if let line = whole.usedSums() {
      throw Self.refusal("the compiler uses sums of products under way: \(line)")
    }
    return whole
  }

  /// At least PTX `major`.0, the first version with instructions of `sm_90a`.
  func withVersion(_ major: Int) -> PTXText {
    guard let number = word(after: ".version ")?.split(separator: ".").first.flatMap({ Int($0) }),
      number < major
    else { return self }
    return replacing(wordAfter: ".version ", with: "\(major).0")
  }

  /// A line outside the inline assembly that uses a sum of `wgmma.mma_async` between the first such instruction of a
  /// function and the last that starts or ends a product; nil where there is none.
  ///
  /// Copies from register to register, as compilers write them at a loop's end, are no use: the assembler gives both
  /// the same place.
  private func usedSums() -> Substring? {
    for function in text.split(separator: ".entry ").dropFirst() {
      let lines = function.split(separator: "\n")
      let products = lines.indices.filter { lines[$0].contains("wgmma.mma_async") }
      guard let first = products.first, let last = lines.lastIndex(where: { $0.contains("wgmma.") }) else {
        continue
      }
      let sums = Set(products.flatMap { Self.sums(lines[$0]) })
      // Where the last is no wait for all, what follows up to the next branch may go back to a product.
      let waits = lines[last].contains("wgmma.wait_group.sync.aligned 0;")
      let end = waits ? last : lines[last...].firstIndex { $0.contains("bra") } ?? lines.endIndex - 1
      let found = lines[first...end].first {
        let registers = Self.registers($0)
        let isCopy = $0.contains("mov.") && registers.count == 2
        return !$0.contains("wgmma.") && !isCopy && !sums.isDisjoint(with: registers)
      }
      if let found { return found }
    }
    return nil
  }

  /// The registers in the first braces after each `wgmma.mma_async`.
  private static func sums(_ line: Substring) -> [Substring] {
    line.split(separator: "wgmma.mma_async").dropFirst().flatMap { part -> [Substring] in
      guard let open = part.firstIndex(of: "{"), let close = part[open...].firstIndex(of: "}") else {
        return []
      }
      return registers(part[open..<close])
    }
  }

  private static func registers(_ line: Substring) -> [Substring] {
    line.split { !($0.isLetter || $0.isNumber || $0 == "%" || $0 == "_") }.filter { $0.hasPrefix("%") }
  }

  private func word(after key: String) -> String? {
    text.firstRange(of: key).map { String(text[$0.upperBound...].prefix(while: Self.isWord)) }
  }

  private func replacing(wordAfter key: String, with word: String) -> PTXText {
    guard let start = text.firstRange(of: key)?.upperBound else { return self }
    return with(text[..<start] + word + text[start...].drop(while: Self.isWord))
  }

  private func with(_ text: String) -> PTXText {
    var other = PTXText(text)
    other.endsWithZero = endsWithZero
    return other
  }

  private static func isWord(_ character: Character) -> Bool { character != "," && !character.isWhitespace }

  private static func refusal(_ message: String) -> RetortError {
    RetortError(.unsupported, message, remedy: "Use kernels without instructions of sm_90a.")
  }
}
