"""AMD's compiler in Mesa (RADV), for a Radeon that is not there.

With RADV_FORCE_FAMILY the driver offers a device named after the family that compiles pipelines and loses what is
submitted. RADV_DEBUG makes it print the code. Pipelines are compiled in processes of their own, several to a process:
the driver prints to the standard error output, between lines of ours that tell where a pipeline begins.
"""
import collections
import concurrent.futures
import ctypes as c
import glob
import json
import os
import subprocess
import sys

MARK = "@@ pipeline "
DRIVERS = ["/usr/share/vulkan/icd.d", "/usr/local/share/vulkan/icd.d", "/etc/vulkan/icd.d"]

# A pipeline: the file of SPIR-V, and what is bound to its set 0, in order: "uniform" or "storage".
Job = collections.namedtuple("Job", "path bound")


class Missing(Exception):
    """What is needed is not on this machine."""


def driver():
    """The description of the radeon driver."""
    given = os.environ.get("WGLOSS_RADV_ICD")
    found = [given] if given else [path for own in DRIVERS for path in glob.glob(f"{own}/radeon_icd*.json")]
    found = [path for path in found if os.path.exists(path)]
    if not found:
        places = f"{', '.join(DRIVERS)} (Debian: mesa-vulkan-drivers), nor in WGLOSS_RADV_ICD"
        raise Missing(f"no radeon_icd*.json in {places}")
    return found[0]


def run(family, jobs):
    env = dict(os.environ, RADV_FORCE_FAMILY=family, RADV_DEBUG="shaders,shaderstats,nocache", NODEVICE_SELECT="1")
    env["VK_DRIVER_FILES"] = env["VK_ICD_FILENAMES"] = driver()
    request = json.dumps([[job.path, job.bound] for job in jobs])
    done = subprocess.run([sys.executable, os.path.abspath(__file__)], env=env, input=request.encode(),
                          stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=60 + 60 * len(jobs), check=False)
    return done.returncode, done.stdout.decode(), done.stderr.decode(errors="replace")


def version(family="gfx1100"):
    """Mesa's version, as 22.3.6."""
    code, out, log = run(family, [])
    if code != 0 or not out.strip():
        raise Missing(f"RADV offers no {family}: {log.strip()[-300:] or 'no device'}")
    return out.strip()


def compile_all(family, jobs, workers):
    """What the driver prints for each job, in their order."""
    parts = max(1, min(len(jobs), 4 * workers))
    shares = [jobs[part::parts] for part in range(parts)]
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        logs = list(pool.map(lambda share: compiled(family, share), shares))
    return [logs[at % parts][at // parts] for at in range(len(jobs))]


def compiled(family, jobs):
    code, _, log = run(family, jobs)
    logs = log.split(MARK)[1:]
    if code != 0 or len(logs) != len(jobs):
        at = jobs[len(logs) - 1].path if logs else "before the first pipeline"
        raise RuntimeError(f"RADV for {family} ended with {code} at {at}: {log.strip()[-500:]}")
    return logs


# From here on: in the process of its own.

P, U, I, H = c.c_void_p, c.c_uint32, c.c_int, c.c_uint64
HEAD = [("sType", I), ("pNext", P), ("flags", U)]


def structure(name, *fields):
    return type(name, (c.Structure,), {"_fields_": list(fields)})


App = structure("App", ("sType", I), ("pNext", P), ("name", c.c_char_p), ("v", U), ("engine", c.c_char_p), ("ev", U),
                ("api", U))
Instance = structure("Instance", *HEAD, ("app", P), ("nl", U), ("l", P), ("ne", U), ("e", P))
Queue = structure("Queue", *HEAD, ("family", U), ("count", U), ("priorities", P))
Robustness = structure("Robustness", ("sType", I), ("pNext", P), ("buffer", U), ("image", U), ("null", U))
Device = structure("Device", *HEAD, ("nq", U), ("q", P), ("nl", U), ("l", P), ("ne", U), ("e", P), ("features", P))
Binding = structure("Binding", ("b", U), ("type", I), ("n", U), ("stages", U), ("p", P))
SetLayout = structure("SetLayout", *HEAD, ("n", U), ("b", P))
Layout = structure("Layout", *HEAD, ("n", U), ("s", P), ("m", U), ("r", P))
Module = structure("Module", *HEAD, ("size", c.c_size_t), ("code", P))
Stage = structure("Stage", *HEAD, ("stage", U), ("module", H), ("name", c.c_char_p), ("special", P))
Compute = structure("Compute", *HEAD, ("stage", Stage), ("layout", H), ("base", H), ("index", c.c_int32))


def at(thing):
    return c.cast(c.byref(thing), P)


class Vulkan:
    def __init__(self):
        self.vk = c.CDLL("libvulkan.so.1")
        app = App(0, None, b"isa", 1, b"isa", 1, (1 << 22) | (3 << 12))
        self.instance, self.physical, self.device = P(), P(), P()
        self.call("vkCreateInstance", c.byref(Instance(1, None, 0, at(app), 0, None, 0, None)), None,
                  c.byref(self.instance))
        count = U(1)
        self.vk.vkEnumeratePhysicalDevices(self.instance, c.byref(count), c.byref(self.physical))
        if count.value == 0 or not self.physical:
            sys.exit("no device")
        # As wgpu does it: bounds are kept by robustBufferAccess2.
        robust = Robustness(1000286000, None, 1, 0, 0)
        features = (U * 55)()
        features[0] = 1  # robustBufferAccess
        names = (c.c_char_p * 1)(b"VK_EXT_robustness2")
        queue = Queue(2, None, 0, 0, 1, at(c.c_float(1.0)))
        info = Device(3, at(robust), 0, 1, at(queue), 0, None, 1, c.cast(names, P), c.cast(features, P))
        self.call("vkCreateDevice", self.physical, c.byref(info), None, c.byref(self.device))

    def call(self, name, *args):
        result = getattr(self.vk, name)(*args)
        if result:
            sys.exit(f"{name}: VkResult {result}")

    def version(self):
        properties = (U * 1024)()  # VkPhysicalDeviceProperties begins with apiVersion, driverVersion
        self.vk.vkGetPhysicalDeviceProperties(self.physical, c.byref(properties))
        own = properties[1]
        return f"{own >> 22}.{own >> 12 & 0x3ff}.{own & 0xfff}"

    def compile(self, path, bound):
        kinds = {"uniform": 6, "storage": 7}
        count = len(bound)
        bindings = (Binding * max(count, 1))(*[Binding(n, kinds[own], 1, 0x20, None) for n, own in enumerate(bound)])
        own_set, layout, module, pipeline = H(), H(), H(), H()
        self.call("vkCreateDescriptorSetLayout", self.device,
                  c.byref(SetLayout(32, None, 0, count, c.cast(bindings, P))), None, c.byref(own_set))
        self.call("vkCreatePipelineLayout", self.device, c.byref(Layout(30, None, 0, 1, at(own_set), 0, None)), None,
                  c.byref(layout))
        with open(path, "rb") as file:
            code = file.read()
        words = c.create_string_buffer(code, len(code))
        self.call("vkCreateShaderModule", self.device, c.byref(Module(16, None, 0, len(code), c.cast(words, P))), None,
                  c.byref(module))
        stage = Stage(18, None, 0, 0x20, module, b"main", None)
        self.call("vkCreateComputePipelines", self.device, H(0), 1, c.byref(Compute(29, None, 0, stage, layout, 0, -1)),
                  None, c.byref(pipeline))


def main():
    request = json.load(sys.stdin)
    vulkan = Vulkan()
    print(vulkan.version(), flush=True)
    for path, bound in request:
        os.write(2, f"{MARK}{path}\n".encode())
        vulkan.compile(path, bound)
    os._exit(0)  # nothing of a device that is not there needs to be put away


if __name__ == "__main__":
    main()
