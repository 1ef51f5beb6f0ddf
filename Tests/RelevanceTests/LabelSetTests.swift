import Basics
import Testing

@testable import Relevance

@Suite struct LabelSetTests {
  private func parse(_ json: String) throws -> LabelSet { try LabelSet(json: Array(json.utf8)) }

  private func error(_ json: String) -> RetortError? { thrownError { _ = try parse(json) } }

  @Test func standardSetHasThreeGrades() throws {
    #expect(LabelSet.standard.names == ["exact", "partial", "irrelevant"])
    #expect(LabelSet.standard.labels.map(\.gain) == [1, 0.5, 0])
    // The built-in set is not checked on construction, so it is checked here.
    #expect(try LabelSet(LabelSet.standard.labels) == LabelSet.standard)
  }

  @Test func fileOrderIsKeptAndBestFirstSorts() throws {
    let labels = try parse(
      """
      {"labels": [{"name": " irrelevant ", "gain": 0, "definition": "Off\\ntopic."},
       {"name": "weak", "gain": 0.33}, {"name": "exact", "gain": 1, "definition": null}]}
      """)
    #expect(labels.names == ["irrelevant", "weak", "exact"])
    #expect(labels.labels[0].definition == "Off topic.")
    #expect(labels.labels[1].definition == "")
    #expect(labels.bestFirst.map(\.name) == ["exact", "weak", "irrelevant"])
    #expect(labels.index(of: " Weak ") == 1)
    #expect(labels.index(of: "strong") == nil)
  }

  @Test func equalGainsKeepTheirOrderInBestFirst() throws {
    let labels = try LabelSet([
      Label(name: "a", gain: 1), Label(name: "b", gain: 0), Label(name: "c", gain: 0),
    ])
    #expect(labels.bestFirst.map(\.name) == ["a", "b", "c"])
  }

  @Test func setReadsBackFromItsOwnJSON() throws {
    for labels in [
      LabelSet.standard, try LabelSet([Label(name: "a\"\\b", gain: -2.5), Label(name: "é", gain: 7)]),
    ] {
      #expect(try parse(labels.json) == labels)
    }
  }

  @Test(arguments: [
    (#"{"labels": [{"name": "a", "gain": 1}]}"#, "labels"),
    (#"{"labels": []}"#, "labels"),
    (#"{"labels": 3}"#, "labels"),
    (#"[]"#, "labels"),
    (#"{"labels": [{"name": "a", "gain": 1}, {"name": "  ", "gain": 0}]}"#, "labels[1].name"),
    (#"{"labels": [{"name": "a", "gain": 1}, {"name": "A ", "gain": 0}]}"#, "labels[1].name"),
    (#"{"labels": [{"name": "a", "gain": 1}, {"name": "b\nc", "gain": 0}]}"#, "labels[1].name"),
    (#"{"labels": [{"name": "a", "gain": 1}, {"gain": 0}]}"#, "labels[1].name"),
    (#"{"labels": [{"name": "a", "gain": "1"}, {"name": "b", "gain": 0}]}"#, "labels[0].gain"),
    (#"{"labels": [{"name": "a", "gain": 1e999}, {"name": "b", "gain": 0}]}"#, "labels[0].gain"),
    (#"{"labels": [{"name": "a"}, {"name": "b", "gain": 0}]}"#, "labels[0].gain"),
    (
      #"{"labels": [{"name": "a", "gain": 1, "definition": 4}, {"name": "b", "gain": 0}]}"#,
      "labels[0].definition"
    ),
    (#"{"labels": ["a", "b"]}"#, "labels[0]"),
    (#"{"labels": [{"name": "a", "gain": 1}, {"name": "b", "gain": 1}]}"#, "labels"),
    (
      #"{"labels": [{"name": "a", "gain": 1}, {"name": "b", "gain": 0}, {"name": "c", "gain": 0.5}]}"#,
      "labels[2].gain"
    ),
  ])
  func badSetIsRefusedWithItsField(json: String, field: String) {
    let error = error(json)
    #expect(error?.code == .malformedFile)
    #expect(error?.field == field)
  }

  @Test func nonFiniteGainIsRefused() {
    for gain in [Double.nan, .infinity, -.infinity] {
      let error = thrownError { _ = try LabelSet([Label(name: "a", gain: 1), Label(name: "b", gain: gain)]) }
      #expect(error?.field == "labels[1].gain")
    }
  }

  @Test func brokenJSONIsRefusedWithItsPlace() throws {
    #expect(error(#"{"labels": [}"#)?.position == "byte 12")
    let error = try withFile("json", Array("{".utf8)) { path in
      (thrownError { _ = try LabelSet(path: path) }, path)
    }
    #expect(error.0?.file == error.1)
    #expect(thrownError { _ = try LabelSet(path: "/nonexistent/labels.json") }?.code == .fileUnavailable)
  }
}
