import Basics
import Testing

@testable import Relevance

@Suite struct EvaluationInputTests {
  private func record(_ id: String, _ probabilities: String = #""exact":0.7,"partial":0.2,"irrelevant":0.1"#)
    -> String
  {
    #"{"pair_id":"\#(id)","label":"exact","probabilities":{\#(probabilities)},"score":0.8}"#
  }

  private func row(_ id: String, label: String? = "exact", query: String = "hose") -> String {
    let field = label.map { #","label":"\#($0)""# } ?? ""
    return #"{"pair_id":"\#(id)","query":"\#(query)","title":"t"\#(field)}"#
  }

  private func predictions(_ lines: [String]) throws -> PredictionFile {
    try withFile("jsonl", Array(lines.joined(separator: "\n").utf8)) {
      try PredictionFile(path: $0, labels: .standard)
    }
  }

  private func gold(_ lines: [String], value: GoldFile.Value = .gain) throws -> GoldFile {
    try withFile("jsonl", Array(lines.joined(separator: "\n").utf8)) {
      try GoldFile(path: $0, labels: .standard, value: value)
    }
  }

  @Test func recordsOfALabellingJobAreRead() throws {
    let distribution = try LabelDistribution(labels: .standard, probabilities: [0.1, 0.65, 0.25])
    let record = LabelRecord(
      pair: Pair(pairID: "p1", query: "a", title: "b"), distribution: distribution, rationaleText: "r",
      rationale: nil, promptTokens: 1, generatedTokens: 1, model: "m", promptHash: "h")
    let file = try predictions([record.json, "", self.record("p2")])
    #expect(file.predictions.count == 2)
    #expect(file.predictions["p1"] == Prediction(label: 1, distribution: distribution))
    #expect(file.predictions["p1"]?.distribution.score == distribution.score)
  }

  @Test func aLabelThatIsNotTheMostProbableStaysThePrediction() throws {
    let file = try predictions([
      #"{"pair_id":7,"label":"Partial","probabilities":{"irrelevant":0.5,"exact":0.2,"partial":0.3}}"#,
      #"{"pair_id":"8","probabilities":{"irrelevant":0.5,"exact":0.2,"partial":0.3}}"#,
    ])
    let voted = try #require(file.predictions["7"])
    #expect(voted.label == 1 && voted.distribution.probabilities == [0.2, 0.3, 0.5])
    #expect(file.predictions["8"]?.label == 2)
    let pairs = try JudgedPairs(
      labels: .standard,
      gold: [GoldPair(pairID: "7", queryKey: "q", query: "q", label: 1, value: 0.5)], predictions: [voted])
    #expect(pairs.confidences == [0.3])
  }

  @Test(arguments: [
    (#"{"probabilities":{"exact":1,"partial":0,"irrelevant":0}}"#, "pair_id", "missing"),
    (#"{"pair_id":"a"}"#, "probabilities", "nothing"),
    (#"{"pair_id":"a","probabilities":[1,0,0]}"#, "probabilities", "an array"),
    (#"{"pair_id":"a","probabilities":{"exact":1,"partial":0}}"#, "probabilities", "irrelevant"),
    (#"{"pair_id":"a","probabilities":{"exact":1,"partial":0,"bad":0}}"#, "probabilities", "\"bad\""),
    (
      #"{"pair_id":"a","probabilities":{"exact":1.5,"partial":0,"irrelevant":0}}"#, "probabilities",
      "\"exact\""
    ),
    (
      #"{"pair_id":"a","probabilities":{"exact":1e999,"partial":0,"irrelevant":0}}"#, "probabilities",
      "\"exact\""
    ),
    (
      #"{"pair_id":"a","probabilities":{"exact":"1","partial":0,"irrelevant":0}}"#, "probabilities",
      "\"exact\""
    ),
    (#"{"pair_id":"a","probabilities":{"exact":0,"partial":0,"irrelevant":0}}"#, "probabilities", "sum to 0"),
    (
      #"{"pair_id":"a","label":"no","probabilities":{"exact":1,"partial":0,"irrelevant":0}}"#, "label",
      "\"no\""
    ),
    (
      #"{"pair_id":"a","label":[],"probabilities":{"exact":1,"partial":0,"irrelevant":0}}"#, "label",
      "an array"
    ),
    (#"{"pair_id":"first","probabilities":{"exact":1,"partial":0,"irrelevant":0}}"#, "pair_id", "earlier"),
  ])
  func aBadRecordIsNamedWithItsLineAndField(line: String, field: String, word: String) throws {
    let error = try #require(thrownError { _ = try predictions([record("first"), line]) })
    #expect(error.code == .malformedRow && error.field == field)
    #expect(error.position == "line 2" && error.file?.hasSuffix(".jsonl") == true)
    #expect(error.message.contains(word), "\(error)")
    #expect(!error.remedy.isEmpty)
  }

  @Test(arguments: ["{", "[1]", "\u{0}", "{\"pair_id\":\"\\ud800\"}"])
  func aRecordThatIsNoObjectIsNamedWithItsLine(line: String) throws {
    let error = try #require(thrownError { _ = try predictions([record("first"), "", line]) })
    #expect(error.code == .malformedRow && error.position == "line 3")
  }

  @Test func pairsAreJoinedInTheOrderOfTheInput() throws {
    let input = try EvaluationInput(
      gold: gold([row("a"), row("b", label: "irrelevant"), row("c", label: "partial")]),
      predictions: [predictions([record("c"), record("a"), record("b")])])
    #expect(input.gold.map(\.pairID) == ["a", "b", "c"])
    #expect(input.gold.map(\.label) == [0, 2, 1])
    #expect(input.gold.map(\.value) == [1, 0, 0.5])
    #expect(input.predictions.map(\.count) == [3])
    #expect(
      input.coverage
        == .init(evaluated: 3, missing: 0, unmatched: 0, unlabelled: 0, badRows: 0))
    #expect(input.warnings.isEmpty)
  }

  @Test func everyKindOfGapIsRefusedByNameOrCounted() throws {
    let whole = [row("a"), row("b")]
    let cases: [([String], [String], String, String)] = [
      (whole, [record("a")], "pair_id", "1 of 2 pairs have no prediction: b (line 2)"),
      (
        whole, [record("a"), record("b"), record("z")], "pair_id", "1 predictions are of pairs that the input"
      ),
      (whole + [row("c", label: nil)], [record("a"), record("b"), record("c")], "label", "c (line 3)"),
      (whole + [#"{"title":"t"}"#], [record("a"), record("b")], "query", "1 rows cannot be read"),
    ]
    for (rows, records, field, message) in cases {
      let (file, predicted) = (try gold(rows), try predictions(records))
      let error = try #require(thrownError { _ = try EvaluationInput(gold: file, predictions: [predicted]) })
      #expect(error.field == field && error.message.contains(message), "\(error)")
      #expect(error.remedy.contains("--partial"))
      let input = try EvaluationInput(gold: file, predictions: [predicted], gaps: .counted)
      let gaps = input.coverage
      #expect(gaps.missing + gaps.unmatched + gaps.unlabelled + gaps.badRows == 1)
      #expect(gaps.evaluated == input.gold.count && input.warnings.count == 1)
    }
  }

  @Test func aGapIsLaidToTheFileThatHasIt() throws {
    let files = [try predictions([record("a"), record("b")]), try predictions([record("b")])]
    let rows = try gold([row("a"), row("b")])
    let error = try #require(thrownError { _ = try EvaluationInput(gold: rows, predictions: files) })
    #expect(error.file == files[1].path)
  }

  @Test func aPairCountsAsPredictedOnlyWhereEveryFileHasIt() throws {
    let input = try EvaluationInput(
      gold: gold([row("a"), row("b"), row("c")]),
      predictions: [predictions([record("a"), record("b")]), predictions([record("b"), record("c")])],
      gaps: .counted)
    #expect(input.gold.map(\.pairID) == ["b"] && input.predictions.map(\.count) == [1, 1])
    #expect(input.coverage.missing == 2)
  }

  @Test func nothingToEvaluateIsAnErrorAlsoWhereGapsAreCounted() throws {
    for (rows, records) in [([row("a")], [record("b")]), ([], []), ([row("a", label: nil)], [record("a")])] {
      let (file, predicted) = (try gold(rows), try predictions(records))
      let error = thrownError {
        _ = try EvaluationInput(gold: file, predictions: [predicted], gaps: .counted)
      }
      #expect(error != nil)
    }
  }

  @Test func aGoldLabelOutsideTheSetIsNamedWithItsLine() throws {
    let error = try #require(thrownError { _ = try gold([row("a"), row("b", label: "superb")]) })
    #expect(error.code == .malformedRow && error.field == "label" && error.position == "line 2")
    #expect(error.message.contains("superb") && error.message.contains("irrelevant"))
  }

  @Test func gradesAreReadAsNumbersAndDemandedWhereTheyCount() throws {
    func file(_ grade: String) throws -> GoldFile {
      try gold(
        [#"{"query":"q","title":"t","label":"exact","grade":\#(grade)}"#], value: .grade)
    }
    #expect(try file("2.33").pairs.map(\.value) == [2.33])
    #expect(try file("\" 2.5 \"").pairs.map(\.value) == [2.5])
    for grade in ["null", "\"good\"", "1e999", "[1]"] {
      let error = try #require(thrownError { _ = try file(grade) })
      #expect(error.field == "grade" && error.position == "line 1", "\(grade)")
    }
  }

  @Test func aQueryIsItsIDOrElseItsWords() {
    func key(_ id: String?, _ query: String) -> String {
      QueryKey.of(Pair(pairID: "p", queryID: id, query: query, title: "t"))
    }
    #expect(key("1", "a") == key("1", "b"))
    #expect(key(nil, "a hose ") == key(nil, "a hose"))
    #expect(key(nil, "1") != key("1", "1"))
  }

  @Test func theLongTailIsFoundByPairsAndByWords() throws {
    func pair(_ id: String, _ key: String, _ query: String) -> GoldPair {
      GoldPair(pairID: id, queryKey: key, query: query, label: 0, value: 1)
    }
    let gold = [
      pair("1", "a", "Red Hose"), pair("2", "a", "Red Hose"), pair("3", "b", "red tap-handle"),
      pair("4", "c", "!!"),
    ]
    #expect(LongTail.fewPairs(gold, atMost: 1) == [2, 3])
    #expect(LongTail.fewPairs(gold, atMost: 2) == [0, 1, 2, 3])
    var words = TrainingWords()
    words.add("red HOSE, red", key: "x")
    words.add("red hose", key: "x")
    words.add("tap red", key: "y")
    #expect(words.queries == 2)
    #expect(words.rarestCount("red") == 2 && words.rarestCount("Hose red") == 1)
    #expect(words.rarestCount("red handle") == 0 && words.rarestCount("?!") == nil)
    #expect(LongTail.rareWords(gold, in: words, fewerThan: 1) == [2])
    #expect(LongTail.rareWords(gold, in: words, fewerThan: 2) == [0, 1, 2])
    let read = try withFile("csv", Array("query,title\nred hose,a\nred tap,b\nred hose,c\n".utf8)) {
      try TrainingWords(paths: [$0])
    }
    #expect(read.queries == 2 && read.rarestCount("red") == 2 && read.rarestCount("tap hose") == 1)
    let both = try withFile("csv", Array("query,title\nred hose,a\n".utf8)) { first in
      try withFile("csv", Array("query,title\nred hose,a\nblue hose,b\n".utf8)) { second in
        try TrainingWords(paths: [first, second])
      }
    }
    #expect(both.queries == 2 && both.rarestCount("hose") == 2 && both.rarestCount("red") == 1)
  }
}
