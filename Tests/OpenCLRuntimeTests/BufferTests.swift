import Basics
import OpenCLRuntime
import Testing

@Suite struct BufferTests {
  private func context() throws -> OpenCLContext {
    try OpenCLContext(uncached: try OpenCLPlatforms.devices()[0])
  }

  @Test func aReleasedBufferIsHandedOutAgain() throws {
    let context = try context()
    for _ in 0..<10 { _ = try context.makeBuffer(byteCount: 5000) }
    #expect(context.memoryUse.created == 1 && context.memoryUse.reused == 9)
    #expect(context.memoryUse.liveBytes == 0 && context.memoryUse.freeBytes >= 5000)
    let held = [try context.makeBuffer(byteCount: 5000), try context.makeBuffer(byteCount: 5000)]
    #expect(context.memoryUse.created == 2 && context.memoryUse.liveBytes >= 10_000)
    #expect(held.map(\.byteCount) == [5000, 5000])
  }

  @Test func nearbySizesShareAClassAndUnpooledBuffersAreFreed() throws {
    let context = try context()
    _ = try context.makeBuffer(byteCount: 1_000_000)
    _ = try context.makeBuffer(byteCount: 1_000_100)
    #expect(context.memoryUse.created == 1)
    #expect(context.memoryUse.freeBytes < 1_250_001)
    _ = try context.makeBuffer(byteCount: 3_000_000, pooled: false)
    #expect(context.memoryUse.created == 2 && context.memoryUse.freeBytes < 1_250_001)
  }

  @Test func writesAndReadsComeInOrder() throws {
    let context = try context()
    let buffer = try context.makeBuffer(byteCount: 4000)
    for round in 0..<50 {
      let values = [Float](repeating: Float(round), count: 1000)
      try values.withUnsafeBytes { try context.write($0, to: buffer) }
    }
    #expect(try context.floats(buffer, 1000) == [Float](repeating: 49, count: 1000))
    try context.zero(buffer)
    #expect(try context.floats(buffer, 1000) == [Float](repeating: 0, count: 1000))
  }

  @Test func aBufferOverTheLargestAllocationIsRefused() throws {
    let context = try context()
    let error = errorOf { _ = try context.makeBuffer(byteCount: context.device.maxAllocationBytes + 1) }
    #expect(error?.code == .outOfMemory)
    #expect(error?.message.contains("\(context.device.maxAllocationBytes)") == true)
    #expect(errorOf { _ = try context.makeBuffer(byteCount: -1) }?.code == .outOfMemory)
    #expect(context.memoryUse.created == 0)
  }

  @Test func theSumOfBuffersIsHeldToTheDevice() throws {
    let context = try context()
    var held: [OpenCLBuffer] = []
    let count = context.device.memoryBytes / context.device.maxAllocationBytes + 1
    // Untouched memory is only reserved, so this costs nothing where the driver maps it on first use.
    let error = errorOf {
      for _ in 0..<count {
        held.append(try context.makeBuffer(byteCount: context.device.maxAllocationBytes, pooled: false))
      }
    }
    #expect(error?.code == .outOfMemory)
    held = []
    #expect(context.memoryUse.liveBytes == 0)
    #expect(throws: Never.self) { _ = try context.makeBuffer(byteCount: 1000) }
  }

  @Test func rangesOutsideABufferThrow() throws {
    let context = try context()
    let buffer = try context.makeBuffer(byteCount: 16)
    let values: [Float] = [1, 2, 3, 4]
    for offset in [-4, 4, Int.max] {
      let error = errorOf { try values.withUnsafeBytes { try context.write($0, to: buffer, at: offset) } }
      #expect(error?.code == .invalidArgument)
    }
    #expect(errorOf { _ = try context.floats(buffer, 5) }?.code == .invalidArgument)
  }

  @Test func aLargeWriteGoesInPiecesAndLetsItsMemoryGo() throws {
    let device = try OpenCLPlatforms.devices()[0]
    let pieces = try OpenCLContext(device: device, pieceBytes: 300_001)
    let count = 2_500_007
    let buffer = try pieces.makeBuffer(byteCount: count + 64)
    for round in 0..<3 {
      var bytes = (0..<count).map { UInt8(truncatingIfNeeded: $0 &* 31 &+ $0 >> 9 &+ round) }
      let expected = bytes
      try bytes.withUnsafeBytes { try pieces.write($0, to: buffer, at: 13) }
      for index in bytes.indices { bytes[index] = 0 }
      var result = [UInt8](repeating: 1, count: count)
      try result.withUnsafeMutableBytes { try pieces.read(buffer, at: 13, into: $0) }
      #expect(result == expected)
      // The next round's queue is another one.
      try pieces.setProfiling(round == 0)
    }
  }
}
