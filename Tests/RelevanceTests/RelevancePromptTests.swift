import Testing

@testable import Relevance

@Suite struct RelevancePromptTests {
  private let ascending = [
    Label(name: "irrelevant", gain: 0, definition: "The item does not serve the query."),
    Label(
      name: "partial", gain: 0.5,
      definition: "The item is related or a substitute, but misses something the query asks for."),
    Label(name: "exact", gain: 1, definition: "The item is what the query asks for."),
  ]

  private func lines(_ prompt: RelevancePrompt, startingWith prefix: String) -> [String] {
    prompt.system.split(separator: "\n").map(String.init).filter { $0.hasPrefix(prefix) }
  }

  @Test func defaultSystemTurnIsTheMeasuredOne() {
    #expect(RelevancePrompt().system == PromptTexts.system)
  }

  @Test func defaultGrammarIsTheMeasuredOne() {
    #expect(RationaleOutline.standard.grammar(labels: .standard) == PromptTexts.grammar)
  }

  @Test func rationaleGrammarGoesOnBehindTheAnswersStart() {
    let outline = RationaleOutline(aspects: [Aspect(name: #"fit "A\B""#), Aspect(name: "use")], textLimit: 9)
    #expect(
      outline.rationaleGrammar == #"""
        root ::= " " text "\nfit \"A\\B\": " v " - " text "\nuse: " v " - " text "\nLabel:"
        v ::= "match" | "mismatch" | "unspecified"
        text ::= [^\x00-\x1F\x7F-\x9F\u2028\u2029]{1,9}

        """#)
  }

  @Test func worstFirstFileGivesTheSameSystemTurn() throws {
    #expect(RelevancePrompt(labels: try LabelSet(ascending)).system == PromptTexts.system)
  }

  @Test func fourLabelsMapTheExamplesToBestUpperMiddleAndWorst() throws {
    let labels = try LabelSet([
      Label(name: "1", gain: 0, definition: "Off topic."), Label(name: "2", gain: 0.33),
      Label(name: "3", gain: 0.67), Label(name: "4", gain: 1, definition: "A USB plug fits: A is kept."),
    ])
    let prompt = RelevancePrompt(labels: labels)
    #expect(lines(prompt, startingWith: "Label: ") == ["Label: 4", "Label: 3", "Label: 1"])
    #expect(
      prompt.system.contains("\nLabels:\n4: a USB plug fits: A is kept.\n3\n2\n1: Off topic.\nExample 1\n"))
    #expect(prompt.labelTexts == [" 1", " 2", " 3", " 4"])
  }

  @Test func twoLabelsDropTheMiddleExample() throws {
    let labels = try LabelSet([Label(name: "yes", gain: 1), Label(name: "no", gain: 0)])
    let prompt = RelevancePrompt(labels: labels)
    #expect(lines(prompt, startingWith: "Label: ") == ["Label: yes", "Label: no"])
    #expect(lines(prompt, startingWith: "Example ") == ["Example 1", "Example 2"])
  }

  @Test func directReasoningAsksForTheLabelAlone() {
    let prompt = RelevancePrompt(reasoning: .direct)
    #expect(RelevancePrompt.Reasoning(rawValue: "none") == .direct)
    #expect(!prompt.system.contains("Work in steps"))
    #expect(!prompt.system.contains("Asks:"))
    #expect(!prompt.system.contains("mismatch"))
    #expect(
      prompt.system.contains(
        "Example 1\nQuery: black 30 in electric range\n"
          + "Item: Whirlpool 30 in. 4.8 cu. ft. Electric Range in Black\nLabel: exact\nExample 2\n"))
    #expect(prompt.answerPrefix == "Label:")
    #expect(RelevancePrompt().answerPrefix == "Asks:")
  }

  @Test func customAspectsAppearInInstructionAndExamples() {
    let outline = RationaleOutline(aspects: [Aspect(name: "brand"), Aspect(name: "age group")])
    let prompt = RelevancePrompt(outline: outline)
    #expect(prompt.system.contains("what the query asks for: the brand and the age group. Then compare"))
    #expect(
      lines(prompt, startingWith: "age group: ")
        == Array(repeating: "age group: unspecified - none asked", count: 3))
    #expect(lines(prompt, startingWith: "product type: ").isEmpty)
    #expect(lines(prompt, startingWith: "brand: ")[1] == "brand: mismatch - Ryobi, not Milwaukee")
  }

  @Test func unusableAspectsAreDropped() {
    let outline = RationaleOutline(
      aspects: ["brand", " Brand ", "", "Label", "asks", "a: b", "fit\nsize"].map { Aspect(name: $0) })
    #expect(outline.names == ["brand", "fit size"])
  }

  @Test func outlineWithoutAspectsStillAsks() {
    let prompt = RelevancePrompt(outline: RationaleOutline(aspects: []))
    #expect(
      prompt.system.contains("Work in steps. First say what the query asks for. Last, name the label.\n"))
  }

  @Test func userTurnFlattensFieldsAndLeavesOutEmptyOnes() {
    let prompt = RelevancePrompt()
    let bare = Pair(pairID: "1", query: " red\r\ntap ", title: "Moen\u{2028}tap\u{0}", description: " \n ")
    #expect(prompt.user(bare) == "Query: red tap\nItem: Moen tap")
    let full = Pair(pairID: "1", query: "tap", title: "t", description: "d\ne", attributes: "colour: red")
    #expect(prompt.user(full) == "Query: tap\nItem: t\nDescription: d e\nAttributes: colour: red")
  }

  @Test func descriptionAndAttributesAreCutToTheBudget() {
    let prompt = RelevancePrompt(budget: .init(description: 10, attributes: 0))
    let pair = Pair(pairID: "1", query: "q", title: "t", description: "one two three four", attributes: "x")
    #expect(prompt.user(pair) == "Query: q\nItem: t\nDescription: one two")
  }

  @Test func truncationKeepsCharactersWholeAndTheBudget() {
    var draw = Draw(seed: 21)
    let alphabet = ["a", "b", " ", "é", "e\u{301}", "👩‍👩‍👧", "漢", "🇩🇪"]
    for _ in 0..<500 {
      let text = (0..<Int.random(in: 0...40, using: &draw)).map { _ in
        alphabet[Int.random(in: 0..<alphabet.count, using: &draw)]
      }.joined()
      let budget = Int.random(in: 0...30, using: &draw)
      let cut = text.truncated(toScalars: budget)
      #expect(cut.unicodeScalars.count <= budget)
      #expect(text.trimmedWhitespace.hasPrefix(cut) || text.hasPrefix(cut))
      if text.unicodeScalars.count <= budget { #expect(cut == text) }
    }
    #expect("abcdefgh".truncated(toScalars: 3) == "abc")
    #expect("👩‍👩‍👧x".truncated(toScalars: 4) == "")
  }

  @Test func hashChangesWithEverythingThatShapesAnAnswer() throws {
    let hash = RelevancePrompt().promptHash
    #expect(hash.count == 64)
    #expect(hash == RelevancePrompt().promptHash)
    var hashes: Set = [hash]
    hashes.insert(RelevancePrompt(reasoning: .direct).promptHash)
    hashes.insert(RelevancePrompt(budget: .init(description: 1)).promptHash)
    hashes.insert(RelevancePrompt(outline: .init(aspects: [Aspect(name: "brand")])).promptHash)
    hashes.insert(
      RelevancePrompt(outline: .init(aspects: RationaleOutline.standard.aspects, textLimit: 9)).promptHash)
    hashes.insert(RelevancePrompt(labels: try LabelSet(ascending)).promptHash)
    #expect(hashes.count == 6)
  }
}
