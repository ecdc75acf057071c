# One OBJECT library for each folder of core/src, which sees the headers of the folders it may use and no others:
# build/layers/<folder> holds one link, <folder>, so that #include "base/buf.h" compiles only where base was named.
#
# Where the compiler can optimise across files (COFFER_IPO) each folder is compiled twice: coffer_<folder> is plain machine code, for the static library
# that users link and the tests look into; coffer_<folder>_whole is for what is linked here and optimised as one.

set(COFFER_SOURCE ${CMAKE_CURRENT_SOURCE_DIR}/core/src)
set(COFFER_LAYERS ${CMAKE_CURRENT_BINARY_DIR}/layers)
set(COFFER_FOLDERS "")
set(COFFER_WHOLE "")
if(COFFER_IPO)
  set(COFFER_WHOLE _whole)
endif()

# coffer_objects(TARGET FOLDER SOURCES... ): `folder_...` are the arguments of coffer_folder, which calls this
function(coffer_objects target folder)
  add_library(${target} OBJECT ${ARGN})
  target_include_directories(${target} PRIVATE ${CMAKE_CURRENT_SOURCE_DIR}/core/include ${COFFER_LAYERS}/${folder})
  foreach(other IN LISTS folder_MAY_USE)
    target_include_directories(${target} PRIVATE ${COFFER_LAYERS}/${other})
  endforeach()
  if(folder_SCRIPTS)
    target_include_directories(${target} PRIVATE ${COFFER_SCRIPTS_DIR})
  endif()
  target_link_libraries(${target} PRIVATE ${folder_LIBRARIES})
endfunction()

function(coffer_folder name)
  cmake_parse_arguments(folder "SCRIPTS" "" "MAY_USE;LIBRARIES" ${ARGN})
  file(MAKE_DIRECTORY ${COFFER_LAYERS}/${name})
  file(CREATE_LINK ${COFFER_SOURCE}/${name} ${COFFER_LAYERS}/${name}/${name} SYMBOLIC)
  file(GLOB sources CONFIGURE_DEPENDS ${COFFER_SOURCE}/${name}/*.c)
  if(NOT sources)
    return()
  endif()
  if(folder_SCRIPTS)
    include(CofferScripts)
    list(APPEND sources ${COFFER_SCRIPTS_HEADER})
  endif()
  coffer_objects(coffer_${name} ${name} ${sources})
  if(COFFER_IPO)
    coffer_objects(coffer_${name}_whole ${name} ${sources})
    set_target_properties(coffer_${name}_whole PROPERTIES INTERPROCEDURAL_OPTIMIZATION ON)
    add_dependencies(coffer_${name}_whole coffer_${name}) # what is generated is generated once
  endif()
  set(COFFER_FOLDERS ${COFFER_FOLDERS} ${name} PARENT_SCOPE)
endfunction()

# coffer_static holds everything (tests see internals through it); coffer_shared is the shared library with the public names only; coffer_whole is an
# archive that never leaves the build folder, for the bindings and the benchmark to link.
function(coffer_library)
  set(plain "")
  set(whole "")
  foreach(name IN LISTS COFFER_FOLDERS)
    list(APPEND plain $<TARGET_OBJECTS:coffer_${name}>)
    list(APPEND whole $<TARGET_OBJECTS:coffer_${name}${COFFER_WHOLE}>)
  endforeach()
  add_library(coffer_static STATIC ${plain})
  add_library(coffer_shared SHARED ${whole})
  add_library(coffer_whole STATIC ${whole})
  set_target_properties(coffer_static coffer_shared PROPERTIES OUTPUT_NAME coffer)
  set_target_properties(coffer_shared coffer_whole PROPERTIES INTERPROCEDURAL_OPTIMIZATION "${COFFER_IPO}")
  foreach(target IN ITEMS coffer_static coffer_shared coffer_whole)
    set_target_properties(${target} PROPERTIES LINKER_LANGUAGE C)
    target_include_directories(${target} PUBLIC $<BUILD_INTERFACE:${CMAKE_CURRENT_SOURCE_DIR}/core/include>)
  endforeach()
  set(libraries PkgConfig::HIREDIS PkgConfig::ZSTD OpenSSL::SSL OpenSSL::Crypto Threads::Threads)
  target_link_libraries(coffer_static PRIVATE ${libraries})
  target_link_libraries(coffer_whole PRIVATE ${libraries})
  target_link_libraries(coffer_shared PRIVATE "$<BUILD_INTERFACE:${libraries}>") # its users link none of them
  # Before 1.0 any minor version may change the binary interface, so its number is part of the name that programs ask for.
  set_target_properties(coffer_shared PROPERTIES VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR}
                        EXPORT_NAME coffer)
  add_library(coffer::coffer ALIAS coffer_shared)
  add_library(coffer::coffer_static ALIAS coffer_static)
endfunction()
