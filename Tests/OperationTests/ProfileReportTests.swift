import Basics
import Foundation
import Tensors
import Testing

/// What a report makes of a profile: made by hand, so that every number is known.
struct ProfileReportTests {
  private struct Product: Tensors.Operation {
    static let name = "product"
    let outputShape: Shape = [1]
    let flops = 1000
    let bytes = 100
  }
  private struct Sum: Tensors.Operation {
    static let name = "sum"
    let outputShape: Shape = [1]
    let flops = 10
    let bytes = 400
  }

  /// 1 Gop/s and 1 GB/s: an operation or a byte is a nanosecond.
  private static let ceilings = Ceilings(flopsPerSecond: 1e9, bytesPerSecond: 1e9, source: "made up")

  private static func profiler() -> Profiler {
    let profiler = Profiler()
    let pack = profiler.add(ProfiledKernel(name: "pack", options: "-DVEC=16"))
    let tile = profiler.add(ProfiledKernel(name: "tile", options: "-DVEC=16 -DROWS=8"))
    let few = profiler.add(ProfiledKernel(name: "tile", options: "-DVEC=16 -DROWS=1"))
    let sum = profiler.add(ProfiledKernel(name: "sum", options: "-DVEC=16"))
    // Kernels one after another: 100 of nothing queued, 50 of the driver's own, then back to back.
    let commands: [(kernel: Int, host: UInt64, start: UInt64, duration: UInt64)] = [
      (pack, 1000, 1010, 200), (tile, 1300, 1360, 2000), (few, 1400, 3360, 500), (sum, 1500, 3860, 400),
    ]
    for command in commands {
      profiler.record(
        DeviceCommand(
          .kernel(command.kernel), hostStart: command.host, hostNanoseconds: 10, start: command.start,
          nanoseconds: command.duration))
    }
    profiler.record(
      DeviceCommand(
        .copy(name: "read_buffer", bytes: 40), hostStart: 1600, hostNanoseconds: 3000, start: 4260,
        nanoseconds: 100, isWaitedFor: true))
    profiler.record(
      Product(), hostStart: 1000, hostNanoseconds: 310, launches: [pack: (1, 200), tile: (1, 2000)])
    profiler.record(Product(), hostStart: 1400, hostNanoseconds: 10, launches: [few: (1, 500)])
    profiler.record(Sum(), hostStart: 1500, hostNanoseconds: 10, launches: [sum: (1, 400)])
    return profiler
  }

  @Test func rowsAreSortedAndRatesAreTheMainKernels() throws {
    let report = ProfileReport(Self.profiler(), device: "test", ceilings: Self.ceilings)
    #expect(
      report.rows.map(\.name) == [
        "product: tile ROWS=8", "product: tile ROWS=1", "sum", "product: pack", "read_buffer",
      ])
    #expect(report.rows.map(\.nanoseconds) == [2000, 500, 400, 200, 100])
    #expect(report.totalNanoseconds == 3200)
    #expect(abs(report.rows.reduce(0) { $0 + $1.share } - 1) < 1e-12)
    let shares = report.rows.map { $0.ceilingShare.map { ($0 * 1000).rounded() / 1000 } }
    #expect(shares == [0.5, 2, 1, nil, 0.4])
    #expect(report.rows[3].flopsPerSecond == nil && report.rows[3].bytesPerSecond == nil)
    #expect(report.rows[0].flopsPerSecond == 0.5e9)
    #expect(report.furthest?.name == "product: tile ROWS=8")
  }

  @Test func idleTimeIsDividedByWhoWasLate() {
    let queue = Self.profiler().queue
    // 1210 to 1360: the host's call ended at 1310.
    #expect(queue.starvedNanoseconds == 100)
    #expect(queue.dispatchNanoseconds == 50)
    #expect(queue.busyNanoseconds == 3200)
    #expect(queue.launches == 4 && queue.launchNanoseconds == 40)
    #expect(queue.waits == 1 && queue.waitNanoseconds == 3000)
  }

  @Test func theTableNamesEverything() {
    let text = ProfileReport(Self.profiler(), device: "test", ceilings: Self.ceilings).text
    for part in [
      "profile of test", "product: tile ROWS=8", "device busy", "device idle, nothing queued",
      "4 launches, 0.0 µs each", "furthest from the ceiling: product: tile ROWS=8, 50.0% of it",
      "ceilings: 1 GFLOP/s, 1.0 GB/s (made up)", "all ",
    ] { #expect(text.contains(part), "\(part)\n\(text)") }
    let plain = ProfileReport(Self.profiler(), device: "test", ceilings: nil).text
    #expect(!plain.contains("ceiling"))
  }

  @Test func serializedProductsAreToldWhereTheDriverSaysSo() throws {
    let profiler = Self.profiler()
    var tile = ProfiledKernel(name: "tile", options: "-DVEC=16 -DROWS=8")
    (tile.registers, tile.spillBytes) = (168, 0)
    profiler.update(1, tile)
    let silent = ProfileReport(profiler, device: "test", ceilings: nil)
    #expect(silent.text.contains("spills") && !silent.text.contains("wgmma"))
    tile.serializesWGMMA = true
    profiler.update(1, tile)
    let report = ProfileReport(profiler, device: "test", ceilings: nil)
    let lines = report.text.split(separator: "\n")
    #expect(lines.filter { $0.hasSuffix(" serialized") }.count == 1)
    #expect(
      lines.contains { $0.hasPrefix("product: tile ROWS=8") && $0.hasSuffix("168       0  serialized") })
    let kernels = try #require(report.object["kernels"] as? [[String: Any]])
    #expect(kernels.map { $0["wgmma_serialized"] as? Bool } == [true, nil, nil, nil, nil])
  }

  @Test func anObjectHoldsTheSameNumbers() throws {
    let report = ProfileReport(Self.profiler(), device: "test", ceilings: Self.ceilings)
    let data = try JSONSerialization.data(withJSONObject: report.object)
    let object = try #require(try JSONSerialization.jsonObject(with: data) as? [String: Any])
    let kernels = try #require(object["kernels"] as? [[String: Any]])
    #expect(kernels.count == 5)
    #expect(kernels[0]["kernel"] as? String == "tile" && kernels[0]["seconds"] as? Double == 2e-6)
    #expect(object["launches"] as? Int == 4)
    #expect(object["furthest_from_ceiling"] as? String == "product: tile ROWS=8")
  }

  @Test func aProfileOfTheHostHasOperationsAndWhatLiesBetween() {
    let profiler = Profiler()
    for _ in 0..<3 { profiler.record(Sum(), nanoseconds: 400) }
    let report = ProfileReport(profiler, device: "host", ceilings: Self.ceilings)
    #expect(report.rows.map(\.name) == ["sum"])
    #expect(report.rows[0].calls == 3 && report.rows[0].ceilingShare == 1)
    #expect(report.text.contains("outside of operations"))
    #expect(!report.text.contains("launches"))
  }
}
