import Basics
import OpenCLRuntime
import Testing

@Suite struct DeviceTests {
  @Test func everyDeviceTellsItsLimits() throws {
    let devices = try OpenCLPlatforms.devices()
    #expect(devices.map(\.index) == Array(devices.indices))
    for device in devices {
      #expect(!device.platformName.isEmpty && !device.name.isEmpty && !device.driverVersion.isEmpty)
      #expect(device.version.hasPrefix("OpenCL ") && device.openCLCVersion.hasPrefix("OpenCL C "))
      #expect(device.memoryBytes >= device.maxAllocationBytes && device.maxAllocationBytes > 0)
      #expect(device.localMemoryBytes > 0 && device.computeUnits > 0 && device.maxWorkGroupSize > 0)
      #expect(device.extensions.allSatisfy { device.has($0) } && !device.has("cl_no_such_extension"))
    }
  }

  @Test func everyDeviceComputes() throws {
    let values = (0..<1000).map { Float($0) - 500 }
    for device in try OpenCLPlatforms.devices() {
      let context = try OpenCLContext(uncached: device)
      let program = try context.makeProgram(name: "scale", source: TestKernels.scale)
      #expect(try context.scaled(values, by: 3, with: program) == values.map { $0 * 3 })
    }
  }

  @Test func contextsOnTwoDevicesKeepApart() throws {
    let devices = try OpenCLPlatforms.devices()
    let first = try OpenCLContext(uncached: devices[0])
    let second = try OpenCLContext(uncached: devices[devices.count - 1])
    let one = try first.makeProgram(name: "scale", source: TestKernels.scale)
    let two = try second.makeProgram(name: "scale", source: TestKernels.scale)
    #expect(try first.scaled([1, 2], by: 2, with: one) == [2, 4])
    #expect(try second.scaled([1, 2], by: 5, with: two) == [5, 10])
    #expect(first.memoryUse.created == 1 + 1 && second.memoryUse.created == 1 + 1)
  }

  @Test func profiledKernelsHaveTimes() throws {
    let context = try OpenCLContext(uncached: try OpenCLPlatforms.devices()[0], profiling: true)
    let program = try context.makeProgram(name: "scale", source: TestKernels.scale)
    _ = try context.scaled([Float](repeating: 1, count: 100_000), by: 2, with: program)
    #expect(try context.takeNanoseconds() > 0)
    #expect(try context.takeNanoseconds() == 0)
    try context.setProfiling(false)
    _ = try context.scaled([1], by: 2, with: program)
    #expect(try context.takeNanoseconds() == 0)
  }
}
