"""zxing-cpp 3.1.1 for Android: the reader of QR codes, by CMake and the NDK's own toolchain.

Its Python build imports the module that it has just compiled, to write type stubs; a module for Android does not load
on the machine that builds it. So the patch leaves the stubs out, and CMake is called without the Python build around
it. Writing codes is left out, too: segno does that.
"""

from multiprocessing import cpu_count
from os.path import join

import sh
from pythonforandroid.logger import shprint
from pythonforandroid.recipe import PythonRecipe
from pythonforandroid.util import current_directory

NANOBIND = "2.11.0"
"""The binding generator, at the version that zxing-cpp names."""


class ZxingCppRecipe(PythonRecipe):
    """A C++ extension; it needs the NDK's C++ library beside it in the package."""

    name = "zxing-cpp"
    version = "3.1.1"
    url = "https://github.com/zxing-cpp/zxing-cpp/archive/refs/tags/v{version}.tar.gz"
    site_packages_name = "zxingcpp"
    depends = ["python3"]  # noqa: RUF012 - python-for-android reads it so
    hostpython_prerequisites = [f"nanobind=={NANOBIND}"]  # noqa: RUF012
    patches = ["no-stubs.patch"]  # noqa: RUF012
    call_hostpython_via_targetpython = False
    need_stl_shared = True

    def build_arch(self, arch):
        """Configure, build and install the module for one architecture."""
        self.install_hostpython_prerequisites()
        python, target = sh.Command(self.real_hostpython_location), self.ctx.python_recipe
        nanobind = str(python("-m", "nanobind", "--cmake_dir", _env=self.get_hostrecipe_env(arch))).strip()
        link = f"-L{target.link_root(arch.arch)} -lpython{target.link_version}"
        options = {
            "CMAKE_TOOLCHAIN_FILE": join(self.ctx.ndk_dir, "build/cmake/android.toolchain.cmake"),
            "ANDROID_ABI": arch.arch,
            "ANDROID_PLATFORM": f"android-{self.ctx.ndk_api}",
            "ANDROID_STL": "c++_shared",
            "CMAKE_BUILD_TYPE": "Release",
            # a module finds Python's symbols only in libraries that it names itself
            "CMAKE_MODULE_LINKER_FLAGS": link,
            # the interpreter runs here, the headers are the device's
            "Python_EXECUTABLE": self.real_hostpython_location,
            "Python_INCLUDE_DIR": target.include_root(arch.arch),
            "Python_LIBRARY": join(target.link_root(arch.arch), f"libpython{target.link_version}.so"),
            "nanobind_DIR": nanobind,
            "NB_SUFFIX": ".so",
            "NB_SUFFIX_S": ".so",
            "ZXING_DEPENDENCIES": "LOCAL",
            "ZXING_WRITERS": "OFF",
            "ZXING_PYTHON_INSTALL_LIBDIR": join(self.ctx.get_python_install_dir(arch.arch), "zxingcpp"),
        }
        env = self.get_hostrecipe_env(arch)  # the toolchain file knows the compiler; flags for another build hurt
        with current_directory(self.get_build_dir(arch.arch)):
            shprint(
                sh.cmake,
                *("-S", "wrappers/python", "-B", "android", "-G", "Unix Makefiles"),
                *(f"-D{name}={value}" for name, value in options.items()),
                _env=env,
            )
            shprint(sh.cmake, "--build", "android", "--target", "zxingcpp", "-j", str(cpu_count()), _env=env)
            shprint(sh.cmake, "--install", "android", "--component", "python", "--strip", _env=env)


recipe = ZxingCppRecipe()
