import Basics
import Foundation
import Testing

@testable import Relevance

@Suite struct PairReaderTests {
  private func read(_ extension: String, _ bytes: [UInt8], limit: Int = 1 << 20) throws -> [PairReader.Row] {
    try withFile(`extension`, bytes) { path in
      let reader = try PairReader(path: path, maximumRowBytes: limit)
      var rows: [PairReader.Row] = []
      while let row = try reader.next() { rows.append(row) }
      #expect(reader.bytesRead == bytes.count)
      #expect(reader.byteCount == bytes.count)
      return rows
    }
  }

  private func read(_ extension: String, _ text: String, limit: Int = 1 << 20) throws -> [PairReader.Row] {
    try read(`extension`, Array(text.utf8), limit: limit)
  }

  /// Pairs as `line id query|title`, errors as `line !field`.
  private func brief(_ rows: [PairReader.Row]) -> [String] {
    rows.map {
      switch $0 {
      case .pair(let pair, let line): "\(line) \(pair.pairID) \(pair.query)|\(pair.title)"
      case .error(let error): "\(error.line) !\(error.reason.field ?? "row")"
      }
    }
  }

  private func message(_ rows: [PairReader.Row]) -> String {
    guard case .error(let error)? = rows.first else { return "" }
    return error.reason.message
  }

  @Test func jsonLineGivesEveryField() throws {
    let rows = try read(
      "jsonl",
      #"{"pair_id": "p", "query_id": "q", "query": "tap", "item_id": "i", "title": "Moen", "description": "d", "#
        + #""attributes": "a", "label": "exact", "grade": 3.0}"#)
    let pair = Pair(
      pairID: "p", queryID: "q", query: "tap", itemID: "i", title: "Moen", description: "d", attributes: "a",
      label: "exact", grade: 3)
    #expect(rows == [.pair(pair, line: 1)])
  }

  @Test func numbersServeAsIdsWithAllTheirDigits() throws {
    let rows = try read(
      "jsonl", #"{"pair_id": 12345678901234567890, "query_id": 7, "query": "a", "title": "b", "label": 2}"#)
    let pair = Pair(
      pairID: "12345678901234567890", queryID: "7", query: "a", title: "b", label: "2")
    #expect(rows == [.pair(pair, line: 1)])
  }

  @Test func missingPairIdIsSynthesizedFromTheRow() throws {
    let rows = try read(
      "jsonl", "\n{\"query\":\"a\",\"title\":\"b\"}\n\n{\"pair_id\":\"\",\"query\":\"c\",\"title\":\"d\"}\n")
    #expect(brief(rows) == ["2 row-1 a|b", "4 row-2 c|d"])
    guard case .pair(let pair, _) = rows[0] else {
      Issue.record("not the kind of row that the test is about")
      return
    }
    #expect(pair.pairIDIsSynthesized)
  }

  @Test func attributesMayBeAnObjectOrAnArray() throws {
    let rows = try read(
      "jsonl",
      #"{"query":"a","title":"b","attributes":{"size":3,"colour":"red","wet":true,"x":null}}"# + "\n"
        + #"{"query":"a","title":"b","attributes":["red", 4, ""]}"# + "\n"
        + #"{"query":"a","title":"b","attributes":{}}"# + "\n"
        + #"{"query":"a","title":"b","attributes":[[1]]}"#)
    let found = rows.map { row -> String? in
      if case .pair(let pair, _) = row { pair.attributes } else { "error" }
    }
    #expect(found == ["colour: red; size: 3; wet: yes", "red; 4", nil, "error"])
  }

  @Test func badJSONRowsAreReportedAndTheRestIsRead() throws {
    var bytes: [UInt8] = []
    let lines = [
      #"{"pair_id":"1","query":"a","title":"b"}"#, #"{"pair_id":"2","query":"a"}"#, #"{"title":"b"}"#,
      #"{"query":5,"title":"b"}"#, #"{"query":" ","title":"b"}"#, #"{"query":"a","title":null}"#, "{oops",
      "[1]", #"{"pair_id":"1","query":"c","title":"d"}"#, #"{"pair_id":true,"query":"c","title":"d"}"#,
      #"{"description":[],"query":"c","title":"d"}"#,
    ]
    for line in lines { bytes += Array(line.utf8) + [10] }
    bytes += Array("{\"query\":\"".utf8) + [0xFF, 0xFE] + Array("\",\"title\":\"b\"}\n".utf8)
    bytes += Array(#"{"pair_id":"9","query":"e","title":"f"}"#.utf8)
    let rows = try read("jsonl", bytes)
    #expect(
      brief(rows) == [
        "1 1 a|b", "2 !title", "3 !query", "4 !query", "5 !query", "6 !title", "7 !row", "8 !row",
        "9 !pair_id",
        "10 !pair_id", "11 !description", "12 !row", "13 9 e|f",
      ])
    #expect(message([rows[11]]) == "the row is not valid UTF-8")
    guard case .error(let error) = rows[1] else {
      Issue.record("not the kind of row that the test is about")
      return
    }
    #expect(error.reason.code == .malformedRow)
    #expect(error.reason.position == "line 2")
    #expect(error.reason.file?.hasSuffix(".jsonl") == true)
  }

  @Test func overlongRowIsReportedAndTheNextIsRead() throws {
    let long = #"{"query":"\#(String(repeating: "x", count: 300))","title":"b"}"#
    let rows = try read("jsonl", long + "\n" + #"{"query":"a","title":"b"}"#, limit: 100)
    #expect(brief(rows) == ["1 !row", "2 row-2 a|b"])
    #expect(message(rows) == "the row is longer than 100 bytes")
    let table = "query,title\n\(String(repeating: "x", count: 300)),b\na,b\n"
    #expect(brief(try read("csv", table, limit: 100)) == ["2 !row", "3 row-2 a|b"])
  }

  @Test func byteOrderMarkAndCarriageReturnsAreDropped() throws {
    #expect(
      brief(
        try read(
          "jsonl", "\u{FEFF}{\"query\":\"a\",\"title\":\"b\"}\r\n\r\n{\"query\":\"c\",\"title\":\"d\"}\r\n"))
        == ["1 row-1 a|b", "3 row-2 c|d"])
    #expect(
      brief(try read("csv", "\u{FEFF}query,title\r\na,b\r\n\r\nc,\"d\"\r\n")) == [
        "2 row-1 a|b", "4 row-2 c|d",
      ])
  }

  @Test func csvQuotesHoldSeparatorsQuotesAndLineBreaks() throws {
    let rows = try read(
      "csv",
      "Pair_ID, Query ,title,description\n1,\"a, b\",\"say \"\"hi\"\"\",\"two\nlines\r\nmore\"\n"
        + "2,24\" tv,\"\"\"q\"\"\",\n3,x,y,z")
    let pairs = rows.compactMap { row -> Pair? in if case .pair(let pair, _) = row { pair } else { nil } }
    #expect(
      pairs == [
        Pair(pairID: "1", query: "a, b", title: "say \"hi\"", description: "two\nlines\r\nmore"),
        Pair(pairID: "2", query: "24\" tv", title: "\"q\""),
        Pair(pairID: "3", query: "x", title: "y", description: "z"),
      ])
    #expect(brief(rows).map { $0.prefix(1) } == ["2", "5", "6"])
  }

  @Test func tsvSplitsAtTabs() throws {
    #expect(brief(try read("tsv", "title\tquery\nb, c\ta\n")) == ["2 row-1 a|b, c"])
  }

  @Test func badTableRowsAreReportedAndTheRestIsRead() throws {
    let bytes =
      Array("pair_id,query,title\n1,a\n2,a,b,c\n3,,b\n4,\"a\"x,b\n5,".utf8) + [0xFF]
      + Array(",b\n6,a,b\n6,a,b\n7,\"open,b\n8,a,b\n".utf8)
    let rows = try read("csv", bytes)
    #expect(
      brief(rows) == [
        "2 !row", "3 !row", "4 !query", "5 !row", "6 !row", "7 6 a|b", "8 !pair_id", "9 !row", "10 8 a|b",
      ])
    #expect(message(rows) == "the header has 3 columns, the row has 2")
    #expect(message([rows[7]]) == "a quoted field that starts in this row is never closed")
  }

  @Test func strayQuoteCostsOneRowAndNotTheRest() throws {
    let stray = "query,title\n\"a,b\nc,d\ne,f\n\"g\",\"h\"\n"
    // The quote closes at `"g`, so the first row fails there and the lines after it are read again.
    #expect(brief(try read("csv", stray)) == ["2 !row", "3 row-2 c|d", "4 row-3 e|f", "5 row-4 g|h"])
    let long = "query,title\n\"a,b\n" + String(repeating: "c,d\n", count: 100) + "\"e\",\"f\ng\"\n"
    let rows = brief(try read("csv", long, limit: 50))
    #expect(rows.count == 102)
    #expect(rows[0] == "2 !row")
    #expect(rows[100] == "102 row-101 c|d")
    #expect(rows[101] == "103 row-102 e|f\ng")
  }

  @Test func columnWithoutNameIsIgnored() throws {
    #expect(brief(try read("csv", ",query,title,\n0,a,b,\n")) == ["2 row-1 a|b"])
  }

  @Test(arguments: [
    ("title,x\n", "query"), ("query\ta\n", "title"), ("query,title,Query\n", "query"), ("", nil),
    ("\n\n", nil),
    ("\"query,title\n", nil),
  ])
  func badHeaderIsAnErrorOfTheFile(text: String, field: String?) throws {
    try withFile(text.contains("\t") ? "tsv" : "csv", Array(text.utf8)) { path in
      let error = thrownError { _ = try PairReader(path: path) }
      #expect(error?.code == .malformedFile)
      #expect(error?.field == field)
      #expect(error?.file == path)
    }
  }

  @Test func extensionOrArgumentDecidesTheFormat() throws {
    #expect(PairFormat(path: "/a.b/x.CSV") == .csv)
    #expect(PairFormat(path: "x.ndjson") == .jsonLines)
    #expect(PairFormat(path: "/a.csv/x") == nil)
    try withFile("txt", Array("query,title\na,b\n".utf8)) { path in
      #expect(thrownError { _ = try PairReader(path: path) }?.code == .invalidArgument)
      let reader = try PairReader(path: path, format: .csv)
      #expect(reader.format == .csv)
      #expect(try reader.next() != nil)
      #expect(try reader.next() == nil)
      #expect(try reader.next() == nil)
    }
  }

  @Test func missingFileAndFolderAreErrors() {
    #expect(thrownError { _ = try PairReader(path: "/nonexistent/x.jsonl") }?.code == .fileUnavailable)
    #expect(thrownError { _ = try PairReader(path: "/tmp", format: .csv) }?.code == .fileUnavailable)
  }

  @Test func emptyJSONLinesFileHasNoRows() throws {
    #expect(try read("jsonl", "").isEmpty)
    #expect(try read("jsonl", "\n \t\r\n").isEmpty)
  }

  @Test func rowsAcrossChunksComeOutWhole() throws {
    let count = 3000
    let jsonl = (0..<count).map {
      #"{"pair_id":"\#($0)","query":"é\#($0)","title":"\#(String(repeating: "ü", count: $0 % 90))t"}"#
    }.joined(separator: "\n")
    let csv =
      "pair_id,query,title\r\n"
      + (0..<count).map { "\($0),é\($0),\"\(String(repeating: "ü", count: $0 % 90))t\"" }.joined(
        separator: "\r\n")
    #expect(jsonl.utf8.count > 2 * ByteStream.chunkBytes)
    for rows in [try read("jsonl", jsonl), try read("csv", csv)] {
      #expect(rows.count == count)
      for (index, row) in rows.enumerated() {
        guard case .pair(let pair, _) = row else {
          Issue.record("not the kind of row that the test is about")
          return
        }
        #expect(pair.pairID == String(index))
        #expect(pair.title.count == index % 90 + 1)
      }
    }
  }

  @Test func anyMutatedFileReadsToItsEnd() throws {
    var draw = Draw(seed: 77)
    let seeds: [(String, String)] = [
      ("jsonl", "{\"pair_id\":\"1\",\"query\":\"a\",\"title\":\"b\"}\n{\"query\":\"c\",\"title\":\"d\"}\n"),
      ("csv", "query,title,label\n\"a\",\"b\nc\",x\r\nd,e,f\n"),
      ("tsv", "query\ttitle\na\t\"b\"\"\"\nc\td\n"),
    ]
    var outcomes = [0, 0]
    for round in 0..<600 {
      let (name, text) = seeds[round % 3]
      var bytes = Array(text.utf8)
      for _ in 0..<Int.random(in: 1...4, using: &draw) {
        let place = Int.random(in: 0..<bytes.count, using: &draw)
        if Bool.random(using: &draw) {
          bytes[place] =
            [0x22, 0x0A, 0x0D, 0x2C, 0x09, 0x7B, 0xFF, 0x00][Int.random(in: 0..<8, using: &draw)]
        } else {
          bytes.insert(bytes[place], at: Int.random(in: 0...bytes.count, using: &draw))
        }
      }
      do {
        outcomes[0] += try read(name, bytes).count
      } catch let error as RetortError {
        #expect(error.code == .malformedFile)
        outcomes[1] += 1
      }
    }
    #expect(outcomes[0] > 600)
    #expect(outcomes[1] > 20)
  }
}
