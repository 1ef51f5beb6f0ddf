import TestSupport
import Testing

@testable import Generation

@Suite struct StopScannerTests {
  /// Feeds pieces; returns what came out piece by piece and the scanner.
  static func scan(_ pieces: [String], _ stops: [String]) -> (shown: [String], scanner: StopScanner) {
    var scanner = StopScanner()
    scanner.stops = stops
    var shown = pieces.map { scanner.append($0) }
    shown.append(scanner.finish())
    return (shown, scanner)
  }

  @Test("Pieces join to the text before the first stop string, however the text is cut up")
  func pieces() {
    let alphabet = Array("abé\n火")
    for seed in 0..<3000 as Range<UInt64> {
      var random = TestRandom(seed)
      let word = { (length: ClosedRange<Int>, random: inout TestRandom) in
        String(
          (0..<Int.random(in: length, using: &random)).map { _ in alphabet.randomElement(using: &random)! })
      }
      let stop = word(1...4, &random)
      let parts = (0..<Int.random(in: 0...8, using: &random)).map { _ in word(0...3, &random) }
      let whole = parts.joined()
      let (shown, scanner) = StopScannerTests.scan(parts, [stop])
      let expected = whole.range(of: stop).map { String(whole[..<$0.lowerBound]) }
      #expect(scanner.isStopped == (expected != nil))
      #expect(scanner.text == expected ?? whole)
      #expect(shown.joined() == expected ?? whole, "\(parts.debugDescription) \(stop.debugDescription)")
    }
  }

  @Test("Of several stop strings none shows, and text that begins none is shown at once")
  func several() {
    let stops = ["\nLabel:", "END", "\n\n"]
    let (shown, scanner) = StopScannerTests.scan(["one", "\n", "Lab", "le\nLab", "el", ": exact"], stops)
    #expect(shown == ["one", "", "", "\nLable", "", "", ""])
    #expect(scanner.isStopped)
    let (open, rest) = StopScannerTests.scan(["EN", "E", "EN"], stops)
    #expect(open == ["", "EN", "E", "EN"])
    #expect(!rest.isStopped)
  }

  @Test("The stop string that begins first cuts the text where one piece completes several")
  func earliest() {
    #expect(StopScannerTests.scan(["xabcd"], ["c", "abcd", "bc"]).scanner.text == "x")
  }

  @Test("No stop string and an empty one hold nothing back")
  func none() {
    #expect(StopScannerTests.scan(["a", "b"], []).shown == ["a", "b", ""])
    #expect(StopScannerTests.scan(["a", "b"], [""]).shown == ["a", "b", ""])
  }

  @Test("A finished scanner takes no more text")
  func stopped() {
    let (shown, scanner) = StopScannerTests.scan(["a.", "b"], ["."])
    #expect(shown == ["a", "", ""])
    #expect(scanner.text == "a")
  }
}

extension String {
  /// The first place where `needle` stands, scalar by scalar.
  fileprivate func range(of needle: String) -> Range<String.Index>? {
    let (text, wanted) = (Array(unicodeScalars), Array(needle.unicodeScalars))
    guard text.count >= wanted.count else { return nil }
    for start in 0...text.count - wanted.count
    where Array(text[start..<start + wanted.count]) == wanted {
      let lower = unicodeScalars.index(unicodeScalars.startIndex, offsetBy: start)
      return lower..<unicodeScalars.index(lower, offsetBy: wanted.count)
    }
    return nil
  }
}
