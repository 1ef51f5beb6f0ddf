import Basics
import Foundation
import OpenCLRuntime
import Testing

@Suite struct ProgramTests {
  private func device() throws -> OpenCLDevice { try OpenCLPlatforms.devices()[0] }

  @Test func aSourceThatDoesNotBuildGivesTheLog() throws {
    let context = try OpenCLContext(uncached: try device())
    let error = errorOf {
      _ = try context.makeProgram(
        name: "broken", source: "kernel void f(global float *y) { y[0] = nothing; }")
    }
    #expect(error?.code == .kernelBuildFailed && error?.field == "broken")
    #expect(error?.message.contains("nothing") == true)
  }

  @Test func anUnknownKernelIsNamed() throws {
    let context = try OpenCLContext(uncached: try device())
    let program = try context.makeProgram(name: "scale", source: TestKernels.scale)
    let error = errorOf { _ = try program.kernel("skale") }
    #expect(error?.code == .kernelBuildFailed && error?.message.contains("skale") == true)
  }

  @Test func argumentsGoByNameInAnyOrder() throws {
    let context = try OpenCLContext(uncached: try device())
    let program = try context.makeProgram(name: "scale", source: TestKernels.scale)
    let (x, y) = (try context.buffer([1, 2, 3]), try context.makeBuffer(byteCount: 12))
    try context.launch(
      try program.kernel("scale"),
      [.int("count", 3), .float("factor", -2), .buffer("y", y), .buffer("x", x)], global: (3, 1, 1))
    #expect(try context.floats(y, 3) == [-2, -4, -6])
  }

  @Test func everyKindOfArgumentArrives() throws {
    let context = try OpenCLContext(uncached: try device())
    let program = try context.makeProgram(name: "scale", source: TestKernels.scale)
    let y = try context.makeBuffer(byteCount: 8)
    try context.launch(
      try program.kernel("fill"),
      [.buffer("y", y), .uint("value", 40), .ulong("wide", 2 << 32), .local("scratch", 64)],
      global: (2, 1, 1), local: (1, 1, 1))
    #expect(try context.floats(y, 2).map(\.bitPattern) == [42, 42])
  }

  @Test func wrongArgumentsAreNamed() throws {
    let context = try OpenCLContext(uncached: try device())
    let kernel = try context.makeProgram(name: "scale", source: TestKernels.scale).kernel("scale")
    let x = try context.buffer([1])
    let cases: [([KernelArgument], String)] = [
      ([.buffer("x", x), .buffer("y", x), .float("faktor", 1), .int("count", 1)], "faktor"),
      ([.buffer("x", x), .buffer("y", x), .float("factor", 1)], "count"),
      ([.buffer("x", x), .buffer("y", x), .int("factor", 1), .int("count", 1)], "factor"),
      ([.buffer("x", x), .buffer("y", x), .float("factor", 1), .int("count", 1 << 40)], "count"),
      ([.buffer("x", x), .float("y", 1), .float("factor", 1), .int("count", 1)], "y is"),
      ([.buffer("x", x), .buffer("x", x), .float("factor", 1), .int("count", 1)], "missing: [\"y\"]"),
    ]
    for (arguments, word) in cases {
      let error = errorOf { try context.launch(kernel, arguments, global: (1, 1, 1)) }
      #expect(error?.code == .invalidArgument && error?.message.contains(word) == true, "\(word)")
    }
  }

  @Test func aWrongNameIsRefusedAfterRightOnesWentThrough() throws {
    let context = try OpenCLContext(uncached: try device())
    let kernel = try context.makeProgram(name: "scale", source: TestKernels.scale).kernel("scale")
    let (x, y) = (try context.buffer([1, 2, 3]), try context.makeBuffer(byteCount: 12))
    func launch(_ factor: KernelArgument) throws {
      try context.launch(
        kernel, [.buffer("x", x), .buffer("y", y), factor, .int("count", 3)], global: (3, 1, 1))
    }
    try launch(.float("factor", 2))
    #expect(try context.floats(y, 3) == [2, 4, 6])
    // As long as the right one, a beginning of it, longer than it, none, and another parameter's.
    let wrong: [KernelArgument] = [
      .float("facto_", 3), .float("fact", 3), .float("factors", 3), .float("", 3), .int("count", 3),
    ]
    for argument in wrong {
      let error = errorOf { try launch(argument) }
      #expect(error?.code == .invalidArgument && error?.field == "scale")
    }
    try launch(.float("factor", 4))
    #expect(try context.floats(y, 3) == [4, 8, 12])
  }

  @Test func aBuiltProgramIsTakenFromTheCache() throws {
    let folder = try TemporaryFolder()
    let cache = BinaryCache(folder: folder.path + "/made/when/needed")
    let context = try OpenCLContext(device: try device(), cache: cache)
    #expect(try !context.makeProgram(name: "scale", source: TestKernels.scale).wasCached)
    let again = try context.makeProgram(name: "scale", source: TestKernels.scale)
    #expect(again.wasCached)
    #expect(try context.scaled([1, 2], by: 4, with: again) == [4, 8])
    #expect(try !context.makeProgram(name: "scale", source: TestKernels.scale, options: "-DX=1").wasCached)
    #expect(try !context.makeProgram(name: "scale", source: TestKernels.scale + "\n").wasCached)
  }

  @Test func aTornOrForeignCacheFileIsBuiltAnew() throws {
    let folder = try TemporaryFolder()
    let context = try OpenCLContext(device: try device(), cache: BinaryCache(folder: folder.path))
    _ = try context.makeProgram(name: "scale", source: TestKernels.scale)
    let file = folder.path + "/" + (try #require(try folder.files.first))
    let whole = try #require(FileManager.default.contents(atPath: file))
    var flipped = whole
    flipped[whole.count / 2] ^= 4
    let damaged = [
      Data(), whole.prefix(7), whole.prefix(39), whole.prefix(40), whole.prefix(whole.count - 1),
      whole + Data([0]), flipped, Data(repeating: 0x7F, count: whole.count),
    ]
    for data in damaged {
      try data.write(to: URL(fileURLWithPath: file))
      let program = try context.makeProgram(name: "scale", source: TestKernels.scale)
      #expect(!program.wasCached, "\(data.count) bytes of \(whole.count)")
      #expect(try context.scaled([3], by: 2, with: program) == [6])
      #expect(try folder.files.count == 1)
      #expect(try context.makeProgram(name: "scale", source: TestKernels.scale).wasCached)
    }
  }

  @Test func aBinaryThatTheDriverRefusesIsBuiltAnew() throws {
    let folder = try TemporaryFolder()
    let cache = BinaryCache(folder: folder.path)
    let key = BinaryCache.key(["a", "bc"])
    #expect(key != BinaryCache.key(["ab", "c"]) && key.count == 16)
    cache.store([1, 2, 3], key: key)
    #expect(cache.load(key) == [1, 2, 3])
    #expect(cache.load(BinaryCache.key(["x"])) == nil)
    // The checksum is right, the program is none.
    let device = try device()
    let source = TestKernels.scale
    let programKey = BinaryCache.key([
      device.platformName, device.platformVersion, device.name, device.version, device.driverVersion, "",
      source,
    ])
    cache.store([UInt8](repeating: 9, count: 1000), key: programKey)
    let context = try OpenCLContext(device: device, cache: cache)
    let program = try context.makeProgram(name: "scale", source: source)
    #expect(!program.wasCached)
    #expect(try context.scaled([3], by: 2, with: program) == [6])
  }

  @Test func aCacheThatCannotBeWrittenIsNoError() throws {
    let folder = try TemporaryFolder()
    let file = folder.path + "/file"
    try Data([1]).write(to: URL(fileURLWithPath: file))
    let context = try OpenCLContext(device: try device(), cache: BinaryCache(folder: file + "/below"))
    let program = try context.makeProgram(name: "scale", source: TestKernels.scale)
    #expect(try context.scaled([3], by: 2, with: program) == [6])
  }
}
