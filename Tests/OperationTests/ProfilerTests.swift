import Basics
import Foundation
import Tensors
import Testing

/// What a profiler keeps, and the timeline that is written of it.
struct ProfilerTests {
  private struct Fake: Tensors.Operation {
    static let name = "fake"
    let outputShape: Shape = [1]
    let flops = 10
    let bytes = 4
  }

  @Test func sumsCountEveryCallAndEventsStopAtTheirLimit() {
    let profiler = Profiler(eventLimit: 3)
    for nanoseconds in 1...5 { profiler.record(Fake(), nanoseconds: UInt64(nanoseconds)) }
    #expect(profiler.totals["fake"]?.calls == 5)
    #expect(profiler.totals["fake"]?.nanoseconds == 15)
    #expect(profiler.totals["fake"]?.flops == 50)
    #expect(profiler.totals["fake"]?.bytes == 20)
    #expect(profiler.events.map(\.nanoseconds) == [1, 2, 3])
    #expect(profiler.droppedEvents == 2)
    profiler.reset()
    #expect(profiler.totals.isEmpty && profiler.events.isEmpty && profiler.droppedEvents == 0)
  }

  @Test func noEventIsKeptUnlessAsked() {
    let profiler = Profiler()
    profiler.record(Fake(), nanoseconds: 7)
    #expect(profiler.events.isEmpty && profiler.droppedEvents == 0)
    #expect(profiler.totals["fake"]?.calls == 1)
  }

  @Test func aTraceIsJSONWithTimesInMicroseconds() throws {
    var trace = ChromeTrace(originNanoseconds: 1_000_000)
    trace.name(row: 2, "operations")
    trace.add(
      "matmul", row: 2, startNanoseconds: 1_002_005, nanoseconds: 1_234_567, counts: ["flops": 8, "bytes": 3])
    trace.add("early", row: 1, startNanoseconds: 5, nanoseconds: 50)
    let events = try read(trace)
    #expect(events.count == 3)
    #expect(events[0]["ph"] as? String == "M")
    #expect((events[0]["args"] as? [String: String]) == ["name": "operations"])
    #expect(events[1]["ph"] as? String == "X")
    #expect(events[1]["name"] as? String == "matmul")
    #expect(events[1]["tid"] as? Int == 2)
    #expect(events[1]["ts"] as? Double == 2.005)
    #expect(events[1]["dur"] as? Double == 1234.567)
    #expect((events[1]["args"] as? [String: Int]) == ["flops": 8, "bytes": 3])
    // What began before the origin begins at it.
    #expect(events[2]["ts"] as? Double == 0)
    #expect(events[2]["dur"] as? Double == 0.05)
    #expect(events[2]["args"] == nil)
  }

  @Test(arguments: ["a \"quoted\" name", "back\\slash", "line\nbreak\u{1}", "größer"])
  func everyNameSurvivesTheTrace(name: String) throws {
    var trace = ChromeTrace(originNanoseconds: 0)
    trace.add(name, row: 1, startNanoseconds: 1, nanoseconds: 1)
    #expect(try read(trace).first?["name"] as? String == name)
  }

  private func read(_ trace: ChromeTrace) throws -> [[String: Any]] {
    let object = try JSONSerialization.jsonObject(with: Data(trace.json.utf8)) as? [String: Any]
    return try #require(object?["traceEvents"] as? [[String: Any]])
  }
}
