import Basics
import Foundation

/// Labels with several devices at once: a labeller and a thread for each, pairs of a query on one of them.
///
/// A device that fails hands what it had to the others; the last one's error ends the job. With one device there is
/// no thread and no queue. Not thread-safe: one task owns it; its labellers belong to it until ``close()`` returns.
public final class DevicePool: PairLabeller {
  /// A device by the name that errors and reports give it.
  public struct Device {
    public let name: String
    let labeller: any PairLabeller

    public init(name: String, labeller: any PairLabeller) {
      self.name = name
      self.labeller = labeller
    }
  }

  /// What a device has done.
  public struct Count: Sendable, Equatable {
    public let name: String
    /// Pairs that it handed back, failed ones included.
    public let pairs: Int
    /// What ended it, where something did.
    public let error: RetortError?
  }

  /// Is told of each device that fails while others go on.
  public var deviceLost: ((RetortError) -> Void)?
  private let devices: [Device]
  private let mailbox: Mailbox
  private let threads = DispatchGroup()
  private var pairsOfOne = 0

  /// - Throws: `noDevice` where there is none.
  public init(_ devices: [Device]) throws {
    guard !devices.isEmpty else {
      throw RetortError(
        .noDevice, "no device to label with", field: "device",
        remedy: "'retort devices' lists the devices and their numbers.")
    }
    self.devices = devices
    mailbox = Mailbox(capacities: devices.map(\.labeller.capacity))
    if devices.count > 1 { for index in devices.indices { start(index) } }
  }

  deinit { close() }

  public var capacity: Int {
    devices.count == 1 ? devices[0].labeller.capacity : mailbox.locked { max(1, $0.handOut.capacity) }
  }

  /// In the order that they were given.
  public var counts: [Count] {
    if devices.count == 1 { return [Count(name: devices[0].name, pairs: pairsOfOne, error: nil)] }
    return mailbox.locked { state in
      devices.indices.map {
        Count(name: devices[$0].name, pairs: state.handOut.finished(by: $0), error: state.errors[$0])
      }
    }
  }

  public func submit(_ work: PairWork) throws {
    if devices.count == 1 { return try devices[0].labeller.submit(work) }
    mailbox.locked { $0.handOut.submit(work) }
  }

  /// Hands out what was submitted and waits a short while for results.
  ///
  /// - Throws: the error of the last device, named, when none is left.
  public func step() throws -> [PairResult] {
    if devices.count == 1 {
      let results = try devices[0].labeller.step()
      pairsOfOne += results.count
      return results
    }
    let (results, lost, hasDevices) = mailbox.collect(waitingSeconds: 0.25)
    let errors = lost.map { devices[$0.device].named($0.error) }
    if hasDevices {
      for error in errors { deviceLost?(error) }
      return results
    }
    // What others finished first is handed over first; the error comes again at the next step.
    if !results.isEmpty {
      mailbox.locked { $0.lost = lost }
      return results
    }
    for error in errors.dropLast() { deviceLost?(error) }
    throw errors.last ?? RetortError(.noDevice, "every device failed", remedy: "See the errors before.")
  }

  /// Ends the threads, each after the step it is at; what was not handed back by then is dropped.
  public func close() {
    mailbox.close()
    threads.wait()
  }

  private func start(_ index: Int) {
    let worker = Worker(index: index, labeller: devices[index].labeller, mailbox: mailbox)
    let group = threads
    group.enter()
    let thread = Thread {
      worker.run()
      group.leave()
    }
    thread.name = "device \(index)"
    thread.stackSize = 8 << 20
    thread.start()
  }
}

extension DevicePool.Device {
  /// An error of this device, with its name.
  fileprivate func named(_ error: RetortError) -> RetortError {
    RetortError(
      error.code, "\(name): \(error.message)", file: error.file, field: error.field, position: error.position,
      remedy: error.remedy)
  }
}

/// What the job's thread and the devices' threads share.
private final class Mailbox: @unchecked Sendable {
  struct State {
    var handOut: HandOut
    var results: [PairResult] = []
    var lost: [(device: Int, error: RetortError)] = []
    var errors: [Int: RetortError] = [:]
    var isClosing = false
  }

  // Guards `state`, and tells of every change of it.
  private let condition = NSCondition()
  private var state: State

  init(capacities: [Int]) { state = State(handOut: HandOut(capacities: capacities)) }

  func locked<R>(_ body: (inout State) -> R) -> R {
    condition.lock()
    defer { condition.unlock() }
    return body(&state)
  }

  func close() {
    locked { $0.isClosing = true }
    condition.broadcast()
  }

  /// Hands out what was submitted, then waits for results or a lost device.
  func collect(waitingSeconds: Double) -> (
    results: [PairResult], lost: [(device: Int, error: RetortError)], hasDevices: Bool
  ) {
    let deadline = Date(timeIntervalSinceNow: waitingSeconds)
    condition.lock()
    defer { condition.unlock() }
    state.handOut.distribute()
    condition.broadcast()
    while state.results.isEmpty, state.lost.isEmpty, !state.handOut.isEmpty {
      guard condition.wait(until: deadline) else { break }
    }
    defer { (state.results, state.lost) = ([], []) }
    return (state.results, state.lost, state.handOut.hasDevices)
  }

  /// Pairs for a device that has `held` of them; waits while there is nothing to do. Nil at the end.
  func take(_ device: Int) -> [PairWork]? {
    condition.lock()
    defer { condition.unlock() }
    while !state.isClosing {
      let works = state.handOut.take(device)
      if !works.isEmpty || state.handOut.held(by: device) > 0 { return works }
      condition.wait()
    }
    return nil
  }

  /// Takes over what a device hands back.
  ///
  /// - Throws: `deviceFailure` for a row that the device was not given.
  func post(_ device: Int, _ results: [PairResult]) throws {
    guard !results.isEmpty else { return }
    condition.lock()
    defer { condition.unlock() }
    for result in results {
      guard state.handOut.finish(device, row: result.row) else {
        throw RetortError(
          .deviceFailure, "row \(result.row + 1) was handed back without having been asked for",
          remedy: "Report this; the ledger holds what was finished before.")
      }
      state.results.append(result)
    }
    condition.broadcast()
  }

  func lose(_ device: Int, _ error: RetortError) {
    locked { state in
      state.handOut.lose(device)
      state.lost.append((device, error))
      state.errors[device] = error
    }
    condition.broadcast()
  }
}

/// A device's thread: takes pairs, steps its labeller, hands results over.
// The labeller is used by this thread alone from `start` to `close`.
private struct Worker: @unchecked Sendable {
  let index: Int
  let labeller: any PairLabeller
  let mailbox: Mailbox

  func run() {
    do {
      while let works = mailbox.take(index) {
        for work in works { try labeller.submit(work) }
        try mailbox.post(index, try labeller.step())
      }
    } catch {
      mailbox.lose(
        index,
        error as? RetortError
          ?? RetortError(.deviceFailure, "\(error)", remedy: "Report this with the device's name."))
    }
  }
}
