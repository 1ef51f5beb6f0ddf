import Basics
import Synchronization
import Testing

@testable import OpenCLRuntime

/// Times of commands that nobody waits for, and the clock that they are put on.
@Suite struct CommandLogTests {
  private final class Listener: CommandObserver {
    struct Heard {
      var commands: [FinishedCommand] = []
      var waits = 0
    }
    let heard = Mutex(Heard())

    func finished(_ commands: [FinishedCommand]) { heard.withLock { $0.commands += commands } }
    func waited(startNanoseconds: UInt64, nanoseconds: UInt64) { heard.withLock { $0.waits += 1 } }
    var commands: [FinishedCommand] { heard.withLock { $0.commands } }
  }

  private static func launch(_ context: OpenCLContext, _ kernel: OpenCLKernel, _ x: OpenCLBuffer) throws {
    try context.launch(
      kernel, [.buffer("x", x), .buffer("y", x), .float("factor", 1), .int("count", 1)], global: (1, 1, 1),
      local: (1, 1, 1))
  }

  @Test func commandsAreReportedOnceInOrderOnTheHostsClock() throws {
    for device in try OpenCLPlatforms.devices() {
      let context = try OpenCLContext(uncached: device)
      let kernel = try context.makeProgram(name: "scale", source: TestKernels.scale).kernel("scale")
      let listener = Listener()
      let before = CommandLog.now
      try context.setProfiling(true, observer: listener)
      let x = try context.buffer([1])
      for _ in 0..<20 { try Self.launch(context, kernel, x) }
      #expect(try #require(context.closeGroup()) == (0, 20))
      for _ in 0..<3 { try Self.launch(context, kernel, x) }
      #expect(try context.floats(x, 1) == [1])
      let after = CommandLog.now
      let commands = listener.commands
      #expect(commands.count == 1 + 23 + 1)
      #expect(commands.map(\.group) == [Int](repeating: 0, count: 21) + [1, 1, 1, 1])
      guard case .write(4) = commands[0].kind, case .read(4) = commands[24].kind else {
        Issue.record("\(commands[0].kind) … \(commands[24].kind)")
        continue
      }
      // The clocks are placed to within what a call takes.
      let slack: UInt64 = 2_000_000
      for (command, next) in zip(commands, commands.dropFirst()) {
        #expect(command.deviceStart + command.deviceNanoseconds <= next.deviceStart)
        #expect(command.hostStart + command.hostNanoseconds <= next.hostStart)
        #expect(command.deviceStart + slack >= command.hostStart)
      }
      #expect(commands.allSatisfy { $0.hostStart >= before && $0.deviceStart <= after + slack })
      #expect(listener.heard.withLock(\.waits) == 0)
      try context.finish()
      #expect(listener.heard.withLock(\.waits) == 1)
    }
  }

  @Test func eventsAreBoundedWhereTheHostNeverWaits() throws {
    let context = try OpenCLContext(uncached: try OpenCLPlatforms.devices()[0])
    let kernel = try context.makeProgram(name: "scale", source: TestKernels.scale).kernel("scale")
    let listener = Listener()
    try context.setProfiling(true, observer: listener)
    let x = try context.makeBuffer(byteCount: 4)
    let count = 3 * CommandLog.limit
    for _ in 0..<count { try Self.launch(context, kernel, x) }
    #expect(listener.commands.count >= count - CommandLog.limit)
    try context.finish()
    #expect(listener.commands.count == count)
  }

  @Test func unprofiledCommandsAreNotHeardOf() throws {
    let context = try OpenCLContext(uncached: try OpenCLPlatforms.devices()[0])
    let kernel = try context.makeProgram(name: "scale", source: TestKernels.scale).kernel("scale")
    let listener = Listener()
    try context.setProfiling(true, observer: listener)
    let x = try context.unprofiled { () -> OpenCLBuffer in
      let x = try context.buffer([2])
      try context.unprofiled { try Self.launch(context, kernel, x) }
      try Self.launch(context, kernel, x)
      return x
    }
    try Self.launch(context, kernel, x)
    try context.finish()
    #expect(listener.commands.count == 1)
    try context.setProfiling(false)
    try Self.launch(context, kernel, x)
    try context.finish()
    #expect(listener.commands.count == 1)
    #expect(context.closeGroup() == nil)
  }

  @Test func aDeviceClockIsPlacedByTheTightestCalls() {
    var clock = DeviceClock()
    // The host is 1000 ahead; the second call took less time than the first.
    clock.observe(queued: 50, from: 1000, to: 1200)
    #expect(clock.host(50) == 1100)
    clock.observe(queued: 100, from: 1098, to: 1102)
    #expect(clock.host(500) == 1500)
    clock.observe(queued: 200, from: 1000, to: 2000)
    #expect(clock.host(500) == 1500)
    // A command that was seen to have ended tells nothing more.
    clock.observe(ended: 300, by: 5000)
    #expect(clock.host(500) == 1500)
    // The device's clock has moved on by 100 in comparison.
    clock.observe(queued: 2100, from: 2990, to: 3010)
    #expect(clock.host(2100) == 3000)
  }

  @Test func aDeviceClockMayBeAheadOfTheHost() {
    var clock = DeviceClock()
    clock.observe(queued: .max - 10, from: 100, to: 120)
    #expect(clock.host(.max - 10) == 110)
    #expect(clock.host(.max) == 120)
    var ended = DeviceClock()
    ended.observe(ended: 70, by: 1070)
    #expect(ended.host(60) == 1060)
  }

  @Test func nvidiasAssemblerIsRead() {
    let log = """
      ptxas info    : 0 bytes gmem
      ptxas info    : Compiling entry function 'matmul_tiled' for 'sm_90'
      ptxas info    : Function properties for matmul_tiled
          0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
      ptxas info    : Used 128 registers, used 1 barriers, 16384 bytes smem, 448 bytes cmem[0]
      ptxas info    : Compiling entry function 'attention' for 'sm_90'
      ptxas info    : Function properties for attention
      ptxas         .     32 bytes stack frame, 24 bytes spill stores, 40 bytes spill loads
      ptxas info    : Used 255 registers, 512 bytes cmem[0]
      ptxas info    : (C7510) Potential Performance Loss: wgmma.mma_async instructions are serialized due to \
      insufficient register resources for the wgmma pipeline in the function 'product_wgmma'
      ptxas info    : Compiling entry function 'product_wgmma' for 'sm_90a'
      ptxas info    : Function properties for product_wgmma
          0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads
      ptxas info    : Used 168 registers, used 9 barriers, 416 bytes cmem[0]
      """
    let report = AssemblerReport.parse(log)
    #expect(report["matmul_tiled"] == .init(registers: 128, spillBytes: 0))
    #expect(report["attention"] == .init(registers: 255, spillBytes: 64))
    #expect(report["product_wgmma"] == .init(registers: 168, spillBytes: 0, serializesWGMMA: true))
    #expect(report.count == 3)
    let unnamed = AssemblerReport.parse(
      "Compiling entry function 'f' for 'sm_90a'\nwgmma.mma_async instructions are serialized due to a call\n"
    )
    #expect(unnamed == ["f": .init(serializesWGMMA: true)], "a line without a name is of the kernel before")
    #expect(
      AssemblerReport.parse("").isEmpty && AssemblerReport.parse("Used registers,\nspill stores").isEmpty)
  }

  @Test func driversTellWhatAKernelTakes() throws {
    for device in try OpenCLPlatforms.devices() {
      let context = try OpenCLContext(uncached: device)
      let kernel = try context.makeProgram(name: "scale", source: TestKernels.scale).kernel("scale")
      let usage = context.usage(of: kernel)
      #expect(try #require(usage.workGroupLimit) > 0)
      #expect(usage.localBytes != nil && usage.privateBytes != nil)
    }
  }
}
