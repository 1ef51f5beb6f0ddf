import OpenCLRuntime
import Tensors

/// Tells a profiler of the commands of a device that runs behind the host, and of the operations they belong to.
///
/// Commands end some time after their operation was asked for, so an operation waits here until its last kernel is
/// known to have ended; how many wait is bounded by the events that the context holds.
final class ProfileBridge: CommandObserver, @unchecked Sendable {
  let profiler: Profiler
  // Called on the backend's thread alone, as the profiler is.
  private var numbers: [ObjectIdentifier: Int] = [:]
  private var kernels: [OpenCLKernel] = []
  private var groups: [Int: Group] = [:]

  private struct Group {
    var operation: (any Tensors.Operation)?
    /// Kernels launched in it, once it is closed.
    var count: Int?
    var ended = 0
    var host: (start: UInt64, end: UInt64)?
    var launches: [Int: (calls: Int, nanoseconds: UInt64)] = [:]
  }

  init(_ profiler: Profiler) { self.profiler = profiler }

  func finished(_ commands: [FinishedCommand]) {
    for command in commands {
      var kind = DeviceCommand.Kind.copy(name: "", bytes: 0)
      var isWaitedFor = false
      switch command.kind {
      case .kernel(let kernel): kind = .kernel(number(kernel))
      case .write(let bytes): kind = .copy(name: "write_buffer", bytes: bytes)
      case .fill(let bytes): kind = .copy(name: "fill_buffer", bytes: bytes)
      case .read(let bytes): (kind, isWaitedFor) = (.copy(name: "read_buffer", bytes: bytes), true)
      }
      profiler.record(
        DeviceCommand(
          kind, hostStart: command.hostStart, hostNanoseconds: command.hostNanoseconds,
          start: command.deviceStart, nanoseconds: command.deviceNanoseconds, isWaitedFor: isWaitedFor))
      if case .kernel(let number) = kind { add(command, number) }
    }
  }

  func waited(startNanoseconds: UInt64, nanoseconds: UInt64) {
    profiler.recordWait(startNanoseconds: startNanoseconds, nanoseconds: nanoseconds)
  }

  /// The commands of `group`, `count` of them kernels, were `operation`'s.
  func close(_ group: Int, count: Int, _ operation: any Tensors.Operation) {
    var entry = groups[group] ?? Group()
    (entry.operation, entry.count) = (operation, count)
    groups[group] = entry
    settle(group)
  }

  /// Asks the driver what the kernels take of the device.
  func describeKernels(_ context: OpenCLContext) {
    for (number, kernel) in kernels.enumerated() {
      let usage = context.usage(of: kernel)
      var description = ProfiledKernel(name: kernel.name, options: kernel.options)
      description.workGroupLimit = usage.workGroupLimit
      (description.localBytes, description.privateBytes) = (usage.localBytes, usage.privateBytes)
      (description.registers, description.spillBytes) = (usage.registers, usage.spillBytes)
      description.serializesWGMMA = usage.serializesWGMMA
      profiler.update(first + number, description)
    }
  }

  /// The profiler's number of this bridge's first kernel: a profiler may have served a backend before.
  private var first = 0

  private func number(_ kernel: OpenCLKernel) -> Int {
    if let number = numbers[ObjectIdentifier(kernel)] { return number }
    let number = profiler.add(ProfiledKernel(name: kernel.name, options: kernel.options))
    if kernels.isEmpty { first = number }
    kernels.append(kernel)
    numbers[ObjectIdentifier(kernel)] = number
    return number
  }

  private func add(_ command: FinishedCommand, _ number: Int) {
    let end = command.hostStart + command.hostNanoseconds
    var entry = groups[command.group] ?? Group()
    entry.ended += 1
    entry.host = entry.host.map { ($0.start, end) } ?? (command.hostStart, end)
    let before = entry.launches[number] ?? (0, 0)
    entry.launches[number] = (before.calls + 1, before.nanoseconds + command.deviceNanoseconds)
    groups[command.group] = entry
    settle(command.group)
  }

  private func settle(_ group: Int) {
    guard let entry = groups[group], let operation = entry.operation, entry.ended == entry.count else {
      return
    }
    groups[group] = nil
    guard let host = entry.host else { return profiler.record(operation, nanoseconds: 0) }
    profiler.record(
      operation, hostStart: host.start, hostNanoseconds: host.end - host.start, launches: entry.launches)
  }
}
