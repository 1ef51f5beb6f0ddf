extension ProfileReport {
  /// A table, sorted by time; totals; how device and host kept each other waiting; what is furthest from its ceiling.
  public var text: String {
    var columns: [[String]] = [["", "calls", "ms", "share", "GFLOP/s", "GB/s"]]
    if ceilings != nil { columns[0].append("of ceiling") }
    let hasUsage = rows.contains { $0.kernel?.workGroupLimit != nil }
    let hasRegisters = rows.contains { $0.kernel?.registers != nil }
    if hasUsage { columns[0] += ["group", "local", "private"] }
    if hasRegisters { columns[0] += ["registers", "spills"] }
    let hasSerialized = rows.contains { $0.kernel?.serializesWGMMA == true }
    if hasSerialized { columns[0].append("wgmma") }
    for row in rows {
      var line = [
        row.name, "\(row.calls)", Self.decimals(Double(row.nanoseconds) / 1e6, 3),
        Self.percent(row.share), row.flopsPerSecond.map { Self.decimals($0 / 1e9, 1) } ?? "",
        row.bytesPerSecond.map { Self.decimals($0 / 1e9, 1) } ?? "",
      ]
      if ceilings != nil { line.append(row.ceilingShare.map(Self.percent) ?? "") }
      let kernel = row.kernel
      if hasUsage {
        line += [kernel?.workGroupLimit, kernel?.localBytes, kernel?.privateBytes].map(Self.text)
      }
      if hasRegisters { line += [kernel?.registers, kernel?.spillBytes].map(Self.text) }
      if hasSerialized { line.append(kernel?.serializesWGMMA == true ? "serialized" : "") }
      columns.append(line)
    }
    columns.append(["all", "\(rows.reduce(0) { $0 + $1.calls })", milliseconds(totalNanoseconds), "100.0%"])
    return "profile of \(device)\n" + Self.table(columns) + sums + findings
  }

  /// Where the time went that no row has.
  private var sums: String {
    let wall = max(1, Double(wallNanoseconds))
    func line(_ name: String, _ nanoseconds: UInt64, _ remark: String) -> String {
      "  " + Self.left(name, 34) + Self.right(milliseconds(nanoseconds), 12) + " ms"
        + Self.right(Self.percent(Double(nanoseconds) / wall), 8) + "  " + remark + "\n"
    }
    guard queue.launches > 0 else {
      let outside = wallNanoseconds - min(wallNanoseconds, totalNanoseconds)
      return line("outside of operations", outside, "between the first and the last")
        + line("wall", wallNanoseconds, "")
    }
    let launch = Double(queue.launchNanoseconds) / Double(queue.launches) / 1e3
    let host = queue.launchNanoseconds + queue.waitNanoseconds
    return line("device busy", queue.busyNanoseconds, "")
      + line("device idle, nothing queued", queue.starvedNanoseconds, "the host was late")
      + line("device idle, next command queued", queue.dispatchNanoseconds, "the driver's own cost")
      + line(
        "host in launches", queue.launchNanoseconds,
        "\(queue.launches) launches, \(Self.decimals(launch, 1)) µs each")
      + line("host waiting for results", queue.waitNanoseconds, "\(queue.waits) waits")
      + line("host otherwise", wallNanoseconds - min(wallNanoseconds, host), "")
      + line("wall", wallNanoseconds, "")
  }

  private var findings: String {
    guard let ceilings else { return "" }
    var out =
      "ceilings: \(Self.decimals(ceilings.flopsPerSecond / 1e9, 0)) GFLOP/s, "
      + "\(Self.decimals(ceilings.bytesPerSecond / 1e9, 1)) GB/s (\(ceilings.source))\n"
    if let furthest, let share = furthest.ceilingShare {
      let above = Double(furthest.nanoseconds) / 1e6 * max(0, 1 - share)
      out +=
        "furthest from the ceiling: \(furthest.name), \(Self.percent(share)) of it, "
        + "\(Self.decimals(above, 3)) ms above its floor\n"
    }
    return out
  }

  /// For `JSONSerialization`; times in seconds, rates in units a second, shares from 0 to 1.
  public var object: [String: Any] {
    func seconds(_ nanoseconds: UInt64) -> Double { Double(nanoseconds) / 1e9 }
    var object: [String: Any] = [
      "device": device, "kernels": rows.map(Self.object), "busy_seconds": seconds(totalNanoseconds),
      "wall_seconds": seconds(wallNanoseconds),
    ]
    if queue.launches > 0 {
      object["launches"] = queue.launches
      object["host_launch_seconds"] = seconds(queue.launchNanoseconds)
      object["host_wait_seconds"] = seconds(queue.waitNanoseconds)
      object["device_idle_unqueued_seconds"] = seconds(queue.starvedNanoseconds)
      object["device_idle_queued_seconds"] = seconds(queue.dispatchNanoseconds)
    }
    if let ceilings {
      object["ceiling_flops_per_second"] = ceilings.flopsPerSecond
      object["ceiling_bytes_per_second"] = ceilings.bytesPerSecond
    }
    object["furthest_from_ceiling"] = furthest?.name
    return object
  }

  private static func object(_ row: Row) -> [String: Any] {
    var object: [String: Any] = [
      "operation": row.operation, "calls": row.calls, "seconds": Double(row.nanoseconds) / 1e9,
      "share": row.share,
    ]
    object["flops_per_second"] = row.flopsPerSecond
    object["bytes_per_second"] = row.bytesPerSecond
    object["ceiling_share"] = row.ceilingShare
    guard let kernel = row.kernel else { return object }
    object["kernel"] = kernel.name
    object["options"] = kernel.options
    object["work_group_limit"] = kernel.workGroupLimit
    object["local_bytes"] = kernel.localBytes
    object["private_bytes"] = kernel.privateBytes
    object["registers"] = kernel.registers
    object["spill_bytes"] = kernel.spillBytes
    if kernel.serializesWGMMA { object["wgmma_serialized"] = true }
    return object
  }

  // MARK: Layout

  private func milliseconds(_ nanoseconds: UInt64) -> String { Self.decimals(Double(nanoseconds) / 1e6, 3) }

  private static func text(_ number: Int?) -> String { number.map(String.init) ?? "" }

  private static func percent(_ share: Double) -> String { decimals(share * 100, 1) + "%" }

  /// Fixed-point text without Foundation, which this module does without.
  private static func decimals(_ value: Double, _ places: Int) -> String {
    guard value.isFinite, value < 1e15 else { return "–" }
    var scale = 1
    for _ in 0..<places { scale *= 10 }
    let scaled = Int((value * Double(scale)).rounded())
    guard places > 0 else { return "\(scaled)" }
    let fraction = "\(scaled % scale)"
    return "\(scaled / scale)." + String(repeating: "0", count: places - fraction.count) + fraction
  }

  private static func left(_ text: String, _ width: Int) -> String {
    text + String(repeating: " ", count: max(0, width - text.count))
  }

  private static func right(_ text: String, _ width: Int) -> String {
    String(repeating: " ", count: max(0, width - text.count)) + text
  }

  /// The first column to the left, the others to the right, each as wide as its widest.
  private static func table(_ lines: [[String]]) -> String {
    let count = lines.map(\.count).max() ?? 0
    let widths = (0..<count).map { column in
      lines.map { $0.count > column ? $0[column].count : 0 }.max() ?? 0
    }
    return lines.map { line in
      line.enumerated().map { column, text in
        column == 0 ? left(text, widths[0]) : right(text, widths[column] + 2)
      }.joined() + "\n"
    }.joined()
  }
}
