import Testing

@testable import Relevance

@Suite struct RationaleParserTests {
  static let answer = """
    Asks: impact driver, Milwaukee, M18
    product type: match - impact driver
    brand: mismatch - Ryobi, not Milwaukee
    model: mismatch - ONE+, not M18
    attributes: match - 18-Volt
    use: unspecified - none asked
    Label: partial
    """

  private let parser = RationaleParser()

  @Test func wellFormedAnswerParses() {
    let rationale = parser.parse(Self.answer)
    #expect(rationale.asks == "impact driver, Milwaukee, M18")
    #expect(rationale.label == "partial")
    #expect(rationale.aspects.map(\.aspect) == RationaleOutline.standard.names)
    #expect(
      rationale.aspects.map(\.reason) == [
        "impact driver", "Ryobi, not Milwaukee", "ONE+, not M18", "18-Volt", "none asked",
      ])
    #expect(
      rationale.verdicts == [
        "product type": .match, "brand": .mismatch, "model": .mismatch, "attributes": .match,
        "use": .unspecified,
      ])
  }

  @Test func promptExamplesParseAsTheyAreMeant() {
    for example in PromptExample.standard {
      let label = example.label(in: .standard)
      let lines = example.rationale(.standard) + ["Label: \(label?.name ?? "")"]
      let rationale = parser.parse(lines.joined(separator: "\n"))
      #expect(rationale.asks == example.asks)
      #expect(rationale.label == label?.name)
      for aspect in RationaleOutline.standard.names {
        #expect(rationale.verdicts[aspect] == example.judgements[aspect]?.verdict ?? .unspecified)
      }
    }
  }

  @Test func strayFormatIsAccepted() {
    let rationale = parser.parse(
      "Sure! Here it is:\r\n\r\n  **ASKS:**  tap \r\n- Product_Type :  MATCH\u{2014}a tap\r\n"
        + "2. **brand**: Mismatch, Moen\n> MODEL: unspecified\nattributes:match\nuse: match.\n"
        + "so the label is clear\n**Label:** **Exact**.\nthanks")
    #expect(rationale.asks == "tap")
    #expect(
      rationale.verdicts == [
        "product type": .match, "brand": .mismatch, "model": .unspecified, "attributes": .match,
        "use": .match,
      ])
    #expect(rationale.aspects.map(\.reason) == ["a tap", "Moen", nil, nil, nil])
    #expect(rationale.label == "exact")
  }

  @Test func firstOfRepeatedLinesCounts() {
    let rationale = parser.parse(
      "Asks: a\nAsks: b\nbrand: match - x\nbrand: mismatch - y\nLabel: exact\nExample 4\nLabel: partial")
    #expect(rationale.asks == "a")
    #expect(rationale.verdicts == ["brand": .match])
    #expect(rationale.label == "exact")
  }

  @Test func unknownVerdictAndMissingLinesAreNil() {
    let rationale = parser.parse("brand: maybe - who knows\nmodel: matching\nuse:\nLabel: excellent")
    #expect(rationale.verdicts.isEmpty)
    #expect(rationale.aspects[1].reason == "maybe - who knows")
    #expect(rationale.aspects[0].reason == nil)
    #expect(rationale.asks == nil)
    #expect(rationale.label == nil)
  }

  @Test func emptyAnswerGivesAnEmptyRationale() {
    for text in ["", "\n\n", ":", ":::\n:", "Label:", "Label: "] {
      let rationale = parser.parse(text)
      #expect(rationale.label == nil)
      #expect(rationale.verdicts.isEmpty)
      #expect(rationale.aspects.count == 5)
    }
  }

  @Test func longestFittingLabelNameWins() throws {
    let labels = try LabelSet([
      Label(name: "Match", gain: 1), Label(name: "Match in part", gain: 0.5), Label(name: "No", gain: 0),
    ])
    let parser = RationaleParser(labels: labels)
    #expect(parser.parse("label: match in part.").label == "Match in part")
    #expect(parser.parse("label: match in general").label == "Match")
    #expect(parser.parse("label: \"no\"").label == "No")
    #expect(parser.parse("label: not at all").label == nil)
  }

  @Test func aspectThatStartsLikeAListMarkIsFound() {
    let outline = RationaleOutline(aspects: [Aspect(name: "3D model")])
    let parser = RationaleParser(outline: outline)
    #expect(parser.parse("3d model: match - yes").verdicts == ["3D model": .match])
  }

  @Test func aVerdictThatTheTeacherDidNotChooseIsNone() {
    let text = "Asks: é\nbrand: match - Moen\nmodel: mismatch - x\n**use:** Unspecified - y"
    func place(_ part: String) -> Range<Int> {
      let bytes = Array(text.utf8)
      let wanted = Array(part.utf8)
      let start = bytes.indices.first { bytes[$0...].starts(with: wanted) } ?? 0
      return start..<start + wanted.count
    }
    #expect(parser.parse(text).verdicts == ["brand": .match, "model": .mismatch, "use": .unspecified])
    let own = parser.parse(text, imposed: [place("tch - Moen\n"), place("fied")])
    #expect(own.verdicts == ["model": .mismatch])
    // What is round the words may be anyone's; the reasons stay.
    let around = parser.parse(
      text, imposed: [place("é\nbrand: "), place(" - Moen\nmodel: "), place(" - x\n"), 5..<5])
    #expect(around == parser.parse(text))
    #expect(own.aspects.map(\.reason) == around.aspects.map(\.reason))
    #expect(parser.parse(text, imposed: [0..<10_000]).verdicts.isEmpty)
  }

  @Test func anyMutatedAnswerParses() {
    var draw = Draw(seed: 2024)
    let scraps: [[UInt8]] = [
      Array(":".utf8), Array("\n".utf8), Array("\r\n".utf8), Array("Label: ".utf8),
      Array("brand: match".utf8),
      Array("**".utf8), Array("\u{301}".utf8), Array("👩‍👧".utf8), [0xFF], [0xC3], [0], Array(" - ".utf8),
    ]
    var labelled = 0
    for _ in 0..<5000 {
      var bytes = Array(Self.answer.utf8)
      for _ in 0..<Int.random(in: 1...12, using: &draw) {
        let place = Int.random(in: 0...bytes.count, using: &draw)
        switch Int.random(in: 0..<4, using: &draw) {
        case 0: bytes.insert(contentsOf: scraps[Int.random(in: 0..<scraps.count, using: &draw)], at: place)
        case 1: bytes.removeSubrange(place..<min(bytes.count, place + Int.random(in: 0...20, using: &draw)))
        case 2 where place < bytes.count: bytes[place] = UInt8.random(in: 0...255, using: &draw)
        default: bytes.append(contentsOf: bytes[..<place])
        }
        if bytes.count > 4000 { bytes.removeLast(bytes.count - 4000) }
      }
      let rationale = parser.parse(String(decoding: bytes, as: UTF8.self))
      #expect(rationale.aspects.map(\.aspect) == RationaleOutline.standard.names)
      if let label = rationale.label {
        #expect(LabelSet.standard.names.contains(label))
        labelled += 1
      }
    }
    #expect(labelled > 500)
  }
}
